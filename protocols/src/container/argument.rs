//! From words to arguments, and from arguments to a specification.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::conceal::without_passwords_of_mounts;
use super::error::{ArgumentError, ValueError};
use super::spec::{ContainerSpec, Note};
use super::switch::{Effect, Switch};
use crate::words::split;

/// Who asks for an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `container.arguments` of the task.
    Task,
    /// The daemon's default container: `--docker IMAGE ARGUMENTS`, or `agent.default_docker.arguments`.
    Default,
    /// A match rule of `agent.default_docker.match_rules`.
    Rule,
    /// `agent.extra_docker_arguments`.
    Extra,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Task => "of the task",
            Self::Default => "of the default container",
            Self::Rule => "of a match rule",
            Self::Extra => "of agent.extra_docker_arguments",
        })
    }
}

/// How a switch and its value were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The switch alone: it is yes or no.
    Bare,
    /// Two words: `--env A=1`, `-e A=1`.
    Apart,
    /// `--env=A=1`, `-e=A=1`.
    Equals,
    /// `-eA=1`.
    Joined,
}

/// One switch, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// What it is.
    pub switch: &'static Switch,
    /// Its value; `true` or `false` where it is yes or no.
    pub value: String,
    /// Its name as it was written, with dashes.
    pub given: String,
    /// How it was written.
    pub form: Form,
    /// Who asks for it.
    pub origin: Origin,
}

impl Argument {
    /// The words that it was written as.
    pub fn words(&self) -> Vec<String> {
        match self.form {
            Form::Bare => vec![self.given.clone()],
            Form::Apart => vec![self.given.clone(), self.value.clone()],
            Form::Equals | Form::Joined => vec![self.first_word()],
        }
    }

    /// The word with the switch: the one that `agent.docker_args_filters` looks at.
    pub fn first_word(&self) -> String {
        match self.form {
            Form::Bare | Form::Apart => self.given.clone(),
            Form::Equals => format!("{}={}", self.given, self.value),
            Form::Joined => format!("{}{}", self.given, self.value),
        }
    }

    /// Puts it into a specification. Returns what has to be said about it.
    fn land(&self, spec: &mut ContainerSpec) -> Result<Option<Note>, ArgumentError> {
        let wrong = |why| ArgumentError::Value {
            given: self.given.clone(),
            value: (!self.switch.is_secret).then(|| match self.switch.long {
                "mount" => without_passwords_of_mounts(&self.value),
                _ => self.value.clone(),
            }),
            origin: self.origin,
            why,
        };
        let refused = |why| ArgumentError::Refused { given: self.given.clone(), origin: self.origin, why };
        let is_yes = || truth(&self.value).ok_or_else(|| wrong(ValueError::Expected("true or false")));
        match self.switch.effect {
            Effect::Value(landing) => {
                if self.value.contains('\0') {
                    return Err(wrong(ValueError::Expected("a text without NUL")));
                }
                if self.form == Form::Joined && self.value.starts_with(char::is_whitespace) {
                    let why = "a space follows the switch within one word: write switch and value as two words";
                    return Err(wrong(ValueError::Impossible(why)));
                }
                landing(spec, &self.value).map_err(wrong)?;
            }
            Effect::Flag(landing) => landing(spec, is_yes()?),
            Effect::Nothing(why) => {
                if self.switch.takes_value || is_yes()? {
                    return Ok(Some(Note { switch: self.given.clone(), why: why.to_owned() }));
                }
            }
            Effect::Refused(why) => {
                if self.switch.takes_value || is_yes()? {
                    return Err(refused(why));
                }
            }
        }
        Ok(None)
    }
}

impl ContainerSpec {
    /// What the arguments ask for, in their order: of a switch that is not a list the last one wins. Returns also what
    /// has no effect.
    pub fn of(arguments: &[Argument]) -> Result<(Self, Vec<Note>), ArgumentError> {
        let mut spec = Self::default();
        let mut notes: Vec<Note> = Vec::new();
        for argument in arguments {
            notes.extend(argument.land(&mut spec)?.filter(|note| !notes.contains(note)));
        }
        spec.check()?;
        Ok((spec, notes))
    }
}

/// Reads arguments that are one text, as `container.arguments` of a task, with the quotes of a shell.
pub fn parse(text: &str, origin: Origin) -> Result<Vec<Argument>, ArgumentError> {
    let words = split(text).map_err(|why| ArgumentError::Words { origin, why })?;
    parse_words(words, origin)
}

/// Reads arguments that are words already.
pub fn parse_words(words: impl IntoIterator<Item = String>, origin: Origin) -> Result<Vec<Argument>, ArgumentError> {
    let mut words = words.into_iter();
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            arguments.push(long_switch(long, &mut words, origin)?);
        } else if word.len() > 1 && word.starts_with('-') && word != "--" {
            short_switches(&word[1..], &mut words, origin, &mut arguments)?;
        } else {
            return Err(ArgumentError::Stray { word, origin });
        }
    }
    Ok(arguments)
}

/// `--name`, `--name value` or `--name=value`, without its dashes.
fn long_switch(
    word: &str,
    words: &mut impl Iterator<Item = String>,
    origin: Origin,
) -> Result<Argument, ArgumentError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let given = format!("--{name}");
    let Some(switch) = Switch::of_long(name) else {
        return Err(ArgumentError::Unknown { nearest: Switch::nearest(name), given, origin });
    };
    let (value, form) = match value {
        Some(value) => (value, Form::Equals),
        None if !switch.takes_value => ("true".to_owned(), Form::Bare),
        None => match words.next() {
            Some(value) => (value, Form::Apart),
            None => return Err(ArgumentError::NoValue { given, origin }),
        },
    };
    Ok(Argument { switch, value, given, form, origin })
}

/// `-it`, `-e A=1`, `-eA=1`, `-e=A=1`, `-itv/a:/b`, without its dash: letters that are yes or no may be joined, and the
/// first that takes a value takes what is left of the word.
fn short_switches(
    letters: &str,
    words: &mut impl Iterator<Item = String>,
    origin: Origin,
    arguments: &mut Vec<Argument>,
) -> Result<(), ArgumentError> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        let given = format!("-{letter}");
        let name = rest.split('=').next().unwrap_or_default();
        if name.len() > 1
            && let Some(switch) = Switch::of_long(name)
        {
            // `-env` would be the switch `-e` with the value `nv`, which nobody means.
            return Err(ArgumentError::Unknown { given: format!("-{name}"), origin, nearest: Some(switch.long) });
        }
        rest = &rest[letter.len_utf8()..];
        let Some(switch) = Switch::of_letter(letter) else {
            // `-shmsize` is a slip, and not six switches.
            let nearest = Switch::nearest(name);
            let given = if nearest.is_some() { format!("-{name}") } else { given };
            return Err(ArgumentError::Unknown { given, origin, nearest });
        };
        let (value, form) = match (rest.strip_prefix('='), switch.takes_value) {
            (Some(value), _) => (value.to_owned(), Form::Equals),
            (None, false) => ("true".to_owned(), Form::Bare),
            (None, true) if !rest.is_empty() => (rest.to_owned(), Form::Joined),
            (None, true) => match words.next() {
                Some(value) => (value, Form::Apart),
                None => return Err(ArgumentError::NoValue { given, origin }),
            },
        };
        let ends_word = form != Form::Bare;
        arguments.push(Argument { switch, value, given, form, origin });
        if ends_word {
            break;
        }
    }
    Ok(())
}

/// Yes or no as Docker reads it.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
