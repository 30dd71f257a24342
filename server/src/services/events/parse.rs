//! From the JSON of an event to what the store takes.

use serde_json::{Map, Value};

use crate::store::events::{Body, Kind, NewEvent, Payload};

/// Fields that clients add to events and that say nothing.
const NOISE: [&str; 4] = ["method", "company_id", "@timestamp", "plot_len"];

/// Reads one event; the error is the reason that is counted in `errors_info`.
pub(super) fn parse(event: Value) -> Result<NewEvent, String> {
    let Value::Object(mut fields) = event else { return Err("Event must be an object".to_owned()) };
    fields.retain(|name, value| !value.is_null() && !NOISE.contains(&name.as_str()));
    let event_type = text(fields.remove("type")).filter(|name| !name.is_empty());
    let event_type = event_type.ok_or("Event must have a 'type' field")?.replace(' ', "_");
    let owner = text(fields.remove("task")).filter(|id| !id.is_empty()).ok_or("Event must have a 'task' field")?;
    let alias = fields.remove("ts");
    let timestamp = integer("timestamp", fields.remove("timestamp").or(alias))?;
    let worker = text(fields.remove("worker"));
    let is_model = flag(fields.remove("model_event"));
    let allow_locked = flag(fields.remove("allow_locked"));
    let body = match (event_type.as_str(), Kind::from_event_type(&event_type)) {
        ("log", _) => log(&mut fields),
        (_, Some(kind)) => series(kind, &mut fields)?,
        (_, None) => return Err(format!("Invalid event type {event_type}")),
    };
    if is_model && matches!(body, Body::Log { .. }) {
        return Err("Task log events are not supported for models".to_owned());
    }
    let extra = (!fields.is_empty()).then_some(fields);
    Ok(NewEvent { owner, is_model, allow_locked, timestamp, worker, body, extra })
}

fn log(fields: &mut Map<String, Value>) -> Body {
    // A console line rarely has a metric; one that has keeps it among the extra fields.
    for name in ["metric", "variant"] {
        if fields.get(name).is_some_and(|value| value == "") {
            fields.remove(name);
        }
    }
    Body::Log { level: take_text(fields, "level"), message: take_text(fields, "msg") }
}

fn series(kind: Kind, fields: &mut Map<String, Value>) -> Result<Body, String> {
    let metric = take_text(fields, "metric");
    let variant = take_text(fields, "variant");
    let iter = integer("iter", fields.remove("iter"))?.unwrap_or(0);
    let payload = match kind {
        Kind::Scalar => Payload::Scalar {
            value: number(fields.remove("value")).ok_or("Event 'value' must be a finite number")?,
            x_axis_label: text(fields.remove("x_axis_label")).filter(|label| !label.is_empty()),
        },
        Kind::Vector => match fields.remove("values").or_else(|| fields.remove("value")) {
            Some(values @ Value::Array(_)) => Payload::Vector(values.to_string()),
            Some(_) | None => return Err("Event 'values' must be a list".to_owned()),
        },
        Kind::Plot => Payload::Plot(take_text(fields, "plot_str")),
        Kind::Image => Payload::Image { key: take_text(fields, "key"), url: take_text(fields, "url") },
    };
    Ok(Body::Series { metric, variant, iter, payload })
}

fn take_text(fields: &mut Map<String, Value>, name: &str) -> String {
    text(fields.remove(name)).unwrap_or_default()
}

/// A text as it is, anything else as its JSON.
fn text(value: Option<Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    }
}

fn flag(value: Option<Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => flag,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

fn number(value: Option<Value>) -> Option<f64> {
    let number = match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(f64::from(u8::from(flag))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// An integer, also one that was sent as a fraction or as a text. Absent is `None`.
fn integer(name: &str, value: Option<Value>) -> Result<Option<i64>, String> {
    let Some(value) = value else { return Ok(None) };
    let exact = match &value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let rounded = || number(Some(value)).filter(|number| number.abs() < 9.2e18).map(|number| number as i64);
    exact.or_else(rounded).map(Some).ok_or_else(|| format!("Event '{name}' must be a 64-bit integer"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refused(event: Value, reason: &str) {
        assert_eq!(parse(event).unwrap_err(), reason);
    }

    #[test]
    fn a_console_line_of_the_sdk_is_read() {
        let event = json!({
            "type": "log", "task": "t", "timestamp": 1_700_000_000_123_i64, "level": "INFO", "worker": "w", "msg": "hello",
            "allow_locked": true, "model_event": false, "method": "get", "metric": "", "variant": null, "color": "red",
        });
        let event = parse(event).unwrap();
        assert_eq!(event.body, Body::Log { level: "INFO".to_owned(), message: "hello".to_owned() });
        assert_eq!((event.timestamp, event.worker.as_deref()), (Some(1_700_000_000_123), Some("w")));
        assert!(event.allow_locked && !event.is_model);
        assert_eq!(
            event.extra.map(Value::Object),
            Some(json!({"color": "red"})),
            "unknown fields are kept, noise is not"
        );
    }

    #[test]
    fn scalars_are_read_in_every_form_that_numbers_take() {
        for (iter, value) in [(json!(7), json!(0.5)), (json!("7"), json!("0.5")), (json!(7.0), json!(0.5))] {
            let event = json!({"type": "training stats scalar", "task": "t", "iter": iter, "metric": "m", "variant": "v", "value": value});
            let Body::Series { iter, payload, .. } = parse(event).unwrap().body else { panic!("a scalar") };
            assert_eq!((iter, payload), (7, Payload::Scalar { value: 0.5, x_axis_label: None }));
        }
    }

    #[test]
    fn bad_events_are_refused_with_their_reason() {
        refused(json!(["type"]), "Event must be an object");
        refused(json!({"task": "t"}), "Event must have a 'type' field");
        refused(json!({"type": "log"}), "Event must have a 'task' field");
        refused(json!({"type": "x y", "task": "t"}), "Invalid event type x_y");
        refused(
            json!({"type": "log", "task": "m", "model_event": true}),
            "Task log events are not supported for models",
        );
        let scalar = |iter: Value, value: Value| json!({"type": "training_stats_scalar", "task": "t", "iter": iter, "value": value});
        refused(scalar(json!(1), json!("inf")), "Event 'value' must be a finite number");
        refused(scalar(json!(1), json!(null)), "Event 'value' must be a finite number");
        refused(scalar(json!(1e30), json!(1)), "Event 'iter' must be a 64-bit integer");
        refused(scalar(json!([1]), json!(1)), "Event 'iter' must be a 64-bit integer");
    }
}
