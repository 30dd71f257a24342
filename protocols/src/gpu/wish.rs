//! What a task itself says of the GPUs that it wants.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::demand::{Demand, DemandError};
use crate::clearml::tasks::Task;
use crate::words::{WordsError, split};

/// The user property that says it, in the words of a queue's demand.
pub const PROPERTY: &str = "hostler_gpus";

/// The argument of a container that says it, as Docker has it.
pub const ARGUMENT: &str = "--gpus";

/// Where the SDK keeps user properties among the hyperparameters.
const PROPERTIES: &str = "properties";

/// Who says how much a task gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DemandSource {
    /// Its queue.
    Queue,
    /// Its user property.
    Property,
    /// The arguments of its container.
    Arguments,
}

impl fmt::Display for DemandSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => formatter.write_str("its queue"),
            Self::Property => write!(formatter, "its user property {PROPERTY}"),
            Self::Arguments => write!(formatter, "its container's {ARGUMENT}"),
        }
    }
}

/// How much a task gets, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How much.
    pub demand: Demand,
    /// Who says so.
    pub source: DemandSource,
}

/// What a task says makes no sense here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// In its user property.
    #[error("the user property {PROPERTY}: {0}")]
    Property(DemandError),
    /// In the arguments of its container.
    #[error("the container's argument {ARGUMENT}: {0}")]
    Arguments(DemandError),
    /// It names cards, and another task may have them.
    #[error(
        "the container's argument {ARGUMENT} {0:?} names cards, but here the cards that are free are given out: \
         say how many, for example {ARGUMENT} 2"
    )]
    Pinned(String),
    /// The arguments cannot be read at all.
    #[error("the container's arguments cannot be read: {0}")]
    Words(WordsError),
}

impl Wish {
    /// What a task gets whose queue gives `of_queue`. Its user property goes before the arguments of its container.
    pub fn of(task: &Task, of_queue: Demand) -> Result<Self, WishError> {
        let property = task.hyperparams.get(PROPERTIES).and_then(|section| section.get(PROPERTY));
        if let Some(text) = property.map(|property| property.value.trim()).filter(|text| !text.is_empty()) {
            let demand = text.parse().map_err(WishError::Property)?;
            return Ok(Self { demand, source: DemandSource::Property });
        }
        let arguments = task.container.get("arguments").and_then(|arguments| arguments.as_str()).unwrap_or_default();
        Ok(match argument(arguments)? {
            Some(demand) => Self { demand, source: DemandSource::Arguments },
            None => Self { demand: of_queue, source: DemandSource::Queue },
        })
    }
}

/// The demand that a container's arguments state, if they state one. `all` is all of what the task is given.
fn argument(arguments: &str) -> Result<Option<Demand>, WishError> {
    if !arguments.contains(ARGUMENT) {
        // What is wrong with them otherwise is not our matter.
        return Ok(None);
    }
    let words = split(arguments).map_err(WishError::Words)?;
    let mut stated = None;
    for (position, word) in words.iter().enumerate() {
        match word.strip_prefix(ARGUMENT) {
            Some("") => stated = Some(words.get(position + 1).map_or("", String::as_str)),
            Some(rest) => stated = rest.strip_prefix('=').or(stated),
            None => {}
        }
    }
    let Some(stated) = stated else { return Ok(None) };
    // Docker takes a list of fields, which may be quoted once more.
    let fields = stated.trim_matches(['"', '\'']);
    let pins = |field: &str| field.starts_with("device=") || field.starts_with("GPU-") || field.starts_with("MIG-");
    if fields.split(',').any(pins) {
        return Err(WishError::Pinned(fields.to_owned()));
    }
    let count = fields.split(',').find_map(|field| field.strip_prefix("count="));
    let count = count.or_else(|| fields.split(',').find(|field| !field.contains('='))).unwrap_or("all");
    match count {
        "all" | "-1" => Ok(None),
        count => count.parse().map(Some).map_err(WishError::Arguments),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(property: &str, arguments: &str) -> Task {
        serde_json::from_value(json!({
            "hyperparams": { "properties": { "hostler_gpus": { "name": "hostler_gpus", "value": property } } },
            "container": { "arguments": arguments },
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(property: &str, arguments: &str, expected: &str, source: DemandSource) {
        let wish = Wish::of(&task(property, arguments), "1".parse().unwrap()).unwrap();
        assert_eq!((wish.demand.to_string().as_str(), wish.source), (expected, source), "{property:?} {arguments:?}");
    }

    #[test]
    fn a_task_overrides_its_queue() {
        check("2-4", "", "2-4", DemandSource::Property);
        check(" 0.5 ", "--gpus 2", "0.5", DemandSource::Property);
        check("1g.10gb@mig", "", "1g.10gb@mig", DemandSource::Property);
        check("", "--ipc=host --gpus 2", "2", DemandSource::Arguments);
        check("", "--gpus=4 -e A=1", "4", DemandSource::Arguments);
        check("", "--gpus 1 --gpus 3", "3", DemandSource::Arguments);
        check("", r#"--gpus '"count=2,capabilities=utility"'"#, "2", DemandSource::Arguments);
    }

    #[test]
    fn what_says_nothing_of_a_number_overrides_nothing() {
        for arguments in ["", "--ipc=host", "--gpus all", "--gpus=all", "--gpus '\"capabilities=utility\"'", "it's"] {
            check("", arguments, "1", DemandSource::Queue);
        }
        let wish = Wish::of(&Task::default(), "0.5".parse().unwrap()).unwrap();
        assert_eq!(wish.source, DemandSource::Queue);
    }

    #[test]
    fn nonsense_is_named() {
        let error = |property, arguments| {
            Wish::of(&task(property, arguments), "1".parse().unwrap()).expect_err("it is wrong").to_string()
        };
        assert!(error("two", "").starts_with("the user property hostler_gpus: `two` is no number of GPUs"));
        assert!(error("", "--gpus 1.5").starts_with("the container's argument --gpus: `1.5`"));
        assert!(error("", "--gpus").contains("`` is no number"));
        assert!(error("", "--gpus 'x").contains("cannot be read"));
        for arguments in [r#"--gpus '"device=0,1"'"#, "--gpus device=0", "--gpus=GPU-5e83"] {
            assert!(error("", arguments).contains("names cards"), "{arguments}");
        }
    }
}
