//! What can be wrong with the arguments of a container.

use super::argument::Origin;
use crate::words::WordsError;

/// An argument that cannot be used. Its text shows values only where they are no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// The text is not made of words.
    #[error("the arguments of the container ({origin}) cannot be read: {why}")]
    Words {
        /// Whose they are.
        origin: Origin,
        /// What is wrong. No source: the text has it already.
        why: WordsError,
    },
    /// A switch that `docker run` does not have.
    #[error("`{given}` ({origin}) is no switch of a container{}", suggestion(*nearest))]
    Unknown {
        /// As it was written.
        given: String,
        /// Whose it is.
        origin: Origin,
        /// The switch that may be meant.
        nearest: Option<&'static str>,
    },
    /// Something that is no switch.
    #[error(
        "`{word}` ({origin}) is no switch of a container: the image has a field of its own, and the command is the \
         task's; a value that holds spaces needs quotes"
    )]
    Stray {
        /// As it was written.
        word: String,
        /// Whose it is.
        origin: Origin,
    },
    /// A switch whose value is missing.
    #[error("`{given}` ({origin}) needs a value")]
    NoValue {
        /// As it was written.
        given: String,
        /// Whose it is.
        origin: Origin,
    },
    /// A value that is none.
    #[error("`{given}{}` ({origin}): {why}", shown(value))]
    Value {
        /// The switch, as it was written.
        given: String,
        /// Its value; absent where it may be a secret.
        value: Option<String>,
        /// Whose it is.
        origin: Origin,
        /// What is wrong. No source: the text has it already.
        why: ValueError,
    },
    /// A switch of `docker run` that cannot work here.
    #[error("`{given}` ({origin}) cannot be used here: {why}")]
    Refused {
        /// The switch, as it was written.
        given: String,
        /// Whose it is.
        origin: Origin,
        /// Why.
        why: &'static str,
    },
    /// Two things at one place.
    #[error("two things are mounted at {target}: {first} and {second}")]
    MountedTwice {
        /// The place in the container.
        target: String,
        /// What is there first.
        first: String,
        /// What else.
        second: String,
    },
    /// Switches that exclude each other.
    #[error("{0} and {1} exclude each other")]
    Exclusive(String, String),
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is something else than what is needed.
    #[error("it must be {0}")]
    Expected(&'static str),
    /// One of its parts is something else than what is needed.
    #[error("its part `{part}` must be {expected}")]
    Part {
        /// The part.
        part: String,
        /// What is needed.
        expected: &'static str,
    },
    /// It has a field that does not exist.
    #[error("it has no field `{field}`{}", suggestion(*nearest))]
    UnknownField {
        /// The field.
        field: String,
        /// The field that may be meant.
        nearest: Option<&'static str>,
    },
    /// It lacks something.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// It contradicts itself, or cannot work here.
    #[error("{0}")]
    Impossible(&'static str),
}

fn suggestion(nearest: Option<&'static str>) -> String {
    nearest.map(|nearest| format!("; is `{nearest}` meant?")).unwrap_or_default()
}

fn shown(value: &Option<String>) -> String {
    value.as_ref().map(|value| format!(" {value}")).unwrap_or_default()
}
