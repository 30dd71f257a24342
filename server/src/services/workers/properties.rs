//! Runtime properties, with which an agent asks whether it may pull, and says how much it may run.
//!
//! The stock server does not have them; its agent does without working hours that are overruled, limits of services
//! and dynamic GPUs then.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::workers::{self, Property};
use crate::time::{self, Micros};

/// Bytes of a worker's id and of a property's name at most.
const LONGEST_NAME: usize = 256;

/// Bytes of a property's value at most.
const LONGEST_VALUE: usize = 16 * 1024;

/// Seconds that a property may hold at most, if it does not hold for ever: ten years.
const LONGEST_EXPIRY: f64 = 315_360_000.0;

#[derive(Deserialize)]
struct Get {
    worker: String,
}

/// The properties of a worker; one that is not known has none. `expiry` is in seconds from now.
pub(super) async fn get(state: &State, call: &Call) -> Reply {
    let Get { worker } = call.arguments()?;
    let now = time::now();
    let found = state.store.read(move |connection| workers::properties(connection, &worker, now)).await?;
    let shown = found.into_iter().map(|Property { key, value, expires }| {
        // Rounded up: what still holds does not expire in 0 s, which means never.
        let expiry = expires.map(|expires| (expires - now + 999_999) / 1_000_000);
        json!({"key": key, "value": value, "expiry": expiry})
    });
    Ok(json!({"runtime_properties": shown.collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
struct Set {
    worker: String,
    runtime_properties: Vec<Given>,
}

#[derive(Deserialize)]
struct Given {
    key: String,
    #[serde(default)]
    value: Value,
    expiry: Option<f64>,
}

/// Sets properties of a worker, for `expiry` seconds or for ever; null takes one away.
pub(super) async fn set(state: &State, call: &Call) -> Reply {
    let Set { worker, runtime_properties } = call.arguments()?;
    check_name("worker", &worker)?;
    let now = time::now();
    let properties = runtime_properties.into_iter().map(|given| property(given, now)).collect::<Result<Vec<_>, _>>()?;
    let updated = properties.len();
    state.store.write(move |tx| workers::set_properties(tx, &worker, &properties, now)).await?;
    Ok(json!({"updated": updated}))
}

fn property(given: Given, now: Micros) -> Result<Property, ApiError> {
    let Given { key, value, expiry } = given;
    check_name("key", &key)?;
    let value = match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => return Err(ApiError::bad_field("value", "must be a text")),
    };
    if value.as_ref().is_some_and(|value| value.len() > LONGEST_VALUE) {
        return Err(ApiError::bad_field("value", &format!("is longer than {LONGEST_VALUE} bytes")));
    }
    let seconds = expiry.unwrap_or(0.0);
    if !(0.0..=LONGEST_EXPIRY).contains(&seconds) {
        return Err(ApiError::bad_field("expiry", &format!("must be seconds from now, at most {LONGEST_EXPIRY}")));
    }
    let expires = (seconds > 0.0).then(|| now + (seconds * 1e6) as Micros);
    Ok(Property { key, value, expires })
}

fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(ApiError::bad_field(field, &format!("must have 1 to {LONGEST_NAME} bytes")));
    }
    Ok(())
}
