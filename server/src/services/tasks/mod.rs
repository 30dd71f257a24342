//! The `hostler` service.

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(_state: &State, _action: &str, _call: Call) -> Option<Reply> {
    None
}
