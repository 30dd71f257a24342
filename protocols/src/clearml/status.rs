//! The status of a task and which status may follow which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Status of a task as the ClearML API names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// A draft, editable.
    #[default]
    Created,
    /// Waiting in a queue.
    Queued,
    /// Running.
    InProgress,
    /// Ended because somebody asked for it.
    Stopped,
    /// On its way to [`TaskStatus::Published`].
    Publishing,
    /// Read-only for good.
    Published,
    /// Stopped and put away.
    Closed,
    /// Ended with an error.
    Failed,
    /// Ended well.
    Completed,
    /// Nothing is known about it.
    Unknown,
}

/// The text is not the name of a task status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown task status {text:?}")]
pub struct UnknownStatus {
    /// The text that was given.
    pub text: String,
}

impl TaskStatus {
    /// Every status, in the order of the API's own list.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Queued,
        Self::InProgress,
        Self::Stopped,
        Self::Publishing,
        Self::Published,
        Self::Closed,
        Self::Failed,
        Self::Completed,
        Self::Unknown,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Stopped => "stopped",
            Self::Publishing => "publishing",
            Self::Published => "published",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a task of this status may be given the status `new` without force.
    ///
    /// The same status again is always legal: it renews the time stamps.
    pub fn may_become(self, new: Self) -> bool {
        self == new || self.successors().contains(&new)
    }

    fn successors(self) -> &'static [Self] {
        match self {
            Self::Created => &[Self::Queued, Self::InProgress],
            Self::Queued => &[Self::Created, Self::InProgress, Self::Stopped],
            Self::InProgress => &[Self::Stopped, Self::Failed, Self::Created, Self::Completed],
            Self::Stopped => &[
                Self::Closed,
                Self::Created,
                Self::Failed,
                Self::Queued,
                Self::InProgress,
                Self::Published,
                Self::Publishing,
                Self::Completed,
            ],
            Self::Closed => &[Self::Created, Self::Failed, Self::Published, Self::Publishing, Self::Stopped],
            Self::Failed => &[Self::Created, Self::Stopped, Self::Published, Self::Queued],
            Self::Completed => &[Self::Published, Self::InProgress, Self::Created],
            Self::Publishing => &[Self::Published],
            Self::Published | Self::Unknown => &[],
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for TaskStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: TaskStatus, expected: &[TaskStatus]) {
        let legal: Vec<_> = TaskStatus::ALL.into_iter().filter(|new| *new != from && from.may_become(*new)).collect();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(legal, expected, "successors of {from}");
        assert!(from.may_become(from), "{from} again");
    }

    #[test]
    fn transitions_are_those_of_the_api() {
        use TaskStatus::*;
        check(Created, &[Queued, InProgress]);
        check(Queued, &[Created, InProgress, Stopped]);
        check(InProgress, &[Created, Stopped, Failed, Completed]);
        check(Stopped, &[Created, Queued, InProgress, Publishing, Published, Closed, Failed, Completed]);
        check(Closed, &[Created, Stopped, Publishing, Published, Failed]);
        check(Failed, &[Created, Queued, Stopped, Published]);
        check(Completed, &[Created, InProgress, Published]);
        check(Publishing, &[Published]);
        check(Published, &[]);
        check(Unknown, &[]);
    }

    #[test]
    fn names_are_the_same_in_text_and_in_json() {
        for status in TaskStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("running".parse::<TaskStatus>().is_err());
    }
}
