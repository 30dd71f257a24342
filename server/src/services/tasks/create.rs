//! `tasks.create` and its dry run.

use protocols::clearml::error::ApiError;
use serde_json::json;

use super::compat;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::{StoreError, tasks};

/// Makes a draft.
pub(super) async fn create(state: &State, call: Call) -> Reply {
    let by = call.identity();
    let mut body = call.body;
    compat::upgrade(call.version, &mut body);
    let id = state.store.write(move |tx| tasks::create(tx, &body, &by)).await?;
    Ok(json!({"id": id}))
}

/// Checks what [`create`] would check, and makes nothing.
pub(super) async fn validate(state: &State, call: Call) -> Reply {
    // A status that no check gives, to take the rows back.
    const GOOD: u16 = 0;
    let by = call.identity();
    let mut body = call.body;
    compat::upgrade(call.version, &mut body);
    let checked = state
        .store
        .write(move |tx| -> Result<(), StoreError> {
            tasks::create(tx, &body, &by)?;
            Err(ApiError::new(GOOD, 0, "").into())
        })
        .await;
    match checked {
        Err(error) if error.status != GOOD => Err(error),
        Ok(()) | Err(_) => Ok(json!({})),
    }
}
