//! What the user interface remembers for a user.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::users;

/// Bytes of a user's preferences at most.
const LARGEST: usize = 256 << 10;

pub(super) async fn get(state: &State, call: &Call) -> Reply {
    let user = call.identity().user_id;
    let preferences = state.store.read(move |connection| users::preferences(connection, &user)).await?;
    Ok(json!({"preferences": preferences}))
}

#[derive(Deserialize)]
struct Set {
    preferences: Map<String, Value>,
    #[serde(default)]
    return_updated: bool,
}

pub(super) async fn set(state: &State, call: &Call) -> Reply {
    let Set { preferences, return_updated } = call.arguments()?;
    let user = call.identity().user_id;
    let (updated, merged) = state
        .store
        .write(move |tx| {
            let mut merged = users::preferences(tx, &user)?;
            merge(&mut merged, Value::Object(preferences));
            if merged.to_string().len() > LARGEST {
                return Err(ApiError::invalid_preferences_update("too large", &[("most", &LARGEST)]).into());
            }
            Ok((users::set_preferences(tx, &user, &merged)?, merged))
        })
        .await?;
    let fields = if return_updated { json!({"preferences": merged}) } else { json!({}) };
    Ok(json!({"updated": updated, "fields": fields}))
}

/// Lays `new` over `old`: objects are merged, everything else is replaced.
fn merge(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let mut old = json!({"view": {"columns": [1, 2], "dark": true}, "n": 1});
        merge(&mut old, json!({"view": {"columns": [3]}, "n": {"m": 2}, "new": null}));
        assert_eq!(old, json!({"view": {"columns": [3], "dark": true}, "n": {"m": 2}, "new": null}));
    }
}
