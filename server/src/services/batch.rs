//! Calls on many objects at once: each item succeeds or fails on its own.

use protocols::clearml::error::ApiError;
use serde_json::{Map, Value, json};

use crate::store::{StoreResult, Tx};

/// What became of the items of a batch.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    succeeded: Vec<Value>,
    failed: Vec<Value>,
}

impl Outcome {
    /// The answer: `{"succeeded": [{"id", ..}], "failed": [{"id", "error"}]}`.
    pub(crate) fn into_answer(self) -> Map<String, Value> {
        Map::from_iter([
            ("succeeded".to_owned(), Value::Array(self.succeeded)),
            ("failed".to_owned(), Value::Array(self.failed)),
        ])
    }
}

/// Runs `item` for every id; what it returns is shown beside the id.
///
/// # Errors
/// Only when the database itself fails: then nothing of the batch was done.
pub(crate) fn each(
    tx: &Tx<'_>,
    ids: &[String],
    mut item: impl FnMut(&str) -> StoreResult<Map<String, Value>>,
) -> StoreResult<Outcome> {
    let mut outcome = Outcome::default();
    for id in ids {
        match tx.attempt(|| item(id))? {
            Ok(mut shown) => {
                shown.insert("id".to_owned(), Value::from(id.as_str()));
                outcome.succeeded.push(Value::Object(shown));
            }
            Err(error) => outcome.failed.push(failure(id, &error)),
        }
    }
    Ok(outcome)
}

fn failure(id: &str, error: &ApiError) -> Value {
    json!({
        "id": id,
        "error": {"codes": [error.status, error.subcode], "msg": error.message, "data": {}},
    })
}
