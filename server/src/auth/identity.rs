//! Users as callers.

use crate::company::{COMPANY, COMPANY_NAME};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Id of the user.
    pub(crate) user_id: String,
    /// Display name of the user.
    pub(crate) user_name: String,
    /// Id of the company.
    pub(crate) company: String,
    /// Display name of the company.
    pub(crate) company_name: String,
    /// Role: `system`, `root`, `admin`, `superuser`, `user`, `annotator` or `guest`.
    pub(crate) role: String,
}

impl Identity {
    /// A user of this installation.
    pub(crate) fn of_user(user_id: &str, user_name: &str, role: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            user_name: user_name.to_owned(),
            company: COMPANY.to_owned(),
            company_name: COMPANY_NAME.to_owned(),
            role: role.to_owned(),
        }
    }

    /// Whoever may write in the data directory.
    pub(crate) fn owner() -> Self {
        Self::of_user("", "owner", "system")
    }

    /// The caller of an endpoint that needs no credentials.
    pub(crate) fn nobody() -> Self {
        Self::of_user("", "", "guest")
    }
}
