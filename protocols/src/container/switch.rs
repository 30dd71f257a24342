//! A switch of `docker run`.

use super::error::ValueError;
use super::nearest::nearest;
use super::spec::ContainerSpec;
use super::table::SWITCHES;

/// Puts a value where it belongs.
pub(super) type Landing = fn(&mut ContainerSpec, &str) -> Result<(), ValueError>;
/// Puts yes or no where it belongs.
pub(super) type FlagLanding = fn(&mut ContainerSpec, bool);

/// What a switch does.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Its value is put into the specification.
    Value(Landing),
    /// It is yes or no.
    Flag(FlagLanding),
    /// It is accepted, and means nothing here, for this reason.
    Nothing(&'static str),
    /// It cannot work here, for this reason.
    Refused(&'static str),
}

/// A switch of `docker run`: one row of [`SWITCHES`].
#[derive(Clone, Copy)]
pub struct Switch {
    /// Its name without dashes, as Docker documents it.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// Another long name, which older programs use.
    pub alias: Option<&'static str>,
    /// Whether it has a value; else it is yes or no.
    pub takes_value: bool,
    /// Whether it may be given several times and each counts; else the last one wins.
    pub is_repeated: bool,
    /// Whether its values may be secrets, which no message shows.
    pub is_secret: bool,
    pub(super) effect: Effect,
}

impl Switch {
    /// A row of the table: the last value wins.
    pub(super) const fn value(long: &'static str, landing: Landing) -> Self {
        Self::new(long, true, Effect::Value(landing))
    }

    /// A row of the table: every value counts.
    pub(super) const fn list(long: &'static str, landing: Landing) -> Self {
        let mut switch = Self::new(long, true, Effect::Value(landing));
        switch.is_repeated = true;
        switch
    }

    /// A row of the table: yes or no.
    pub(super) const fn flag(long: &'static str, landing: FlagLanding) -> Self {
        Self::new(long, false, Effect::Flag(landing))
    }

    /// A row of the table: yes or no, without effect.
    pub(super) const fn idle_flag(long: &'static str, why: &'static str) -> Self {
        Self::new(long, false, Effect::Nothing(why))
    }

    /// A row of the table: a value without effect.
    pub(super) const fn idle(long: &'static str, why: &'static str) -> Self {
        Self::new(long, true, Effect::Nothing(why))
    }

    /// A row of the table: a value that cannot work here.
    pub(super) const fn refused(long: &'static str, why: &'static str) -> Self {
        Self::new(long, true, Effect::Refused(why))
    }

    /// A row of the table: yes or no, and yes cannot work here.
    pub(super) const fn refused_flag(long: &'static str, why: &'static str) -> Self {
        Self::new(long, false, Effect::Refused(why))
    }

    const fn new(long: &'static str, takes_value: bool, effect: Effect) -> Self {
        Self { long, short: None, alias: None, takes_value, is_repeated: false, is_secret: false, effect }
    }

    pub(super) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// The switch of this name: long, short or alias, with its dashes or without.
    pub fn find(name: &str) -> Option<&'static Self> {
        let bare = name.trim_start_matches('-');
        let mut letters = bare.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Self::of_letter(letter),
            _ => Self::of_long(bare),
        }
    }

    pub(super) fn of_long(name: &str) -> Option<&'static Self> {
        SWITCHES.iter().find(|switch| switch.long == name || switch.alias == Some(name))
    }

    pub(super) fn of_letter(letter: char) -> Option<&'static Self> {
        SWITCHES.iter().find(|switch| switch.short == Some(letter))
    }

    /// The switch that may be meant by a name that does not exist.
    pub fn nearest(name: &str) -> Option<&'static str> {
        nearest(name.trim_start_matches('-'), SWITCHES.iter().map(|switch| switch.long))
    }
}

impl PartialEq for Switch {
    fn eq(&self, other: &Self) -> bool {
        self.long == other.long
    }
}

impl Eq for Switch {}

impl std::fmt::Debug for Switch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "--{}", self.long)
    }
}
