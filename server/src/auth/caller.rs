//! A caller, and what proved who it is.

use serde::{Deserialize, Serialize};

use super::Identity;

/// Where the right to call comes from. A token keeps it from the call that made it, so that it ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The credentials with this access key.
    Key(String),
    /// The password of a user.
    Password {
        /// Id of the user.
        user: String,
        /// Of the password, so that another one is another origin.
        fingerprint: String,
    },
}

/// How a caller proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) origin: Origin,
    /// The session of a token.
    pub(crate) session: Option<String>,
}

/// Who calls, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) proof: Proof,
}
