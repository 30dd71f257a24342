//! Bodies: JSON, json-lines, form and query fields.

use axum::http::{HeaderMap, header};
use protocols::clearml::error::ApiError;
use serde_json::{Map, Number, Value};

/// What a request carries.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) fields: Map<String, Value>,
    pub(super) lines: Option<Vec<Value>>,
}

/// Reads the body and the query of a request.
///
/// # Errors
/// 400/0 when it is not what its content type says.
pub(super) fn read(headers: &HeaderMap, query: Option<&str>, bytes: &[u8]) -> Result<Content, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut content = Content::default();
    if content_type == "application/json-lines" {
        content.lines = Some(lines(bytes)?);
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        merge(&mut content.fields, bytes);
    } else if !bytes.trim_ascii().is_empty() {
        content.fields = match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(ApiError::bad_request("the body must be a JSON object", &[])),
            Err(error) => return Err(ApiError::bad_request("the body is not JSON", &[("reason", &error)])),
        };
    }
    merge(&mut content.fields, query.unwrap_or_default().as_bytes());
    // The SDK adds it to every body; it means nothing.
    content.fields.remove("method");
    Ok(content)
}

fn lines(bytes: &[u8]) -> Result<Vec<Value>, ApiError> {
    let mut lines = Vec::new();
    for (position, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let refused = |why: &str| ApiError::bad_request(why, &[("line", &(position + 1))]);
        match serde_json::from_slice(line) {
            Ok(Value::Object(mut object)) => {
                object.remove("method");
                lines.push(Value::Object(object));
            }
            Ok(_) => return Err(refused("each line must be a JSON object")),
            Err(_) => return Err(refused("a line is not JSON")),
        }
    }
    Ok(lines)
}

/// Adds `a.b=1&k[]=x&k[]=y`: dots nest, repetition makes a list, texts that look so become numbers and flags.
fn merge(fields: &mut Map<String, Value>, encoded: &[u8]) {
    let mut keys: Vec<(String, Vec<Value>, bool)> = Vec::new();
    for (key, text) in url::form_urlencoded::parse(encoded) {
        let (key, is_list) = key.strip_suffix("[]").map_or((&*key, false), |key| (key, true));
        let value = typed(&text);
        match keys.iter_mut().find(|(known, ..)| known == key) {
            Some((_, values, _)) => values.push(value),
            None => keys.push((key.to_owned(), vec![value], is_list)),
        }
    }
    for (key, mut values, is_list) in keys {
        let value = if is_list || values.len() > 1 { Value::Array(values) } else { values.remove(0) };
        let mut at = &mut *fields;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.insert(part.to_owned(), value);
                break;
            }
            let next = at.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !next.is_object() {
                *next = Value::Object(Map::new());
            }
            at = next.as_object_mut().expect("it was just made one");
        }
    }
}

fn typed(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if digits && text.bytes().any(|byte| byte.is_ascii_digit()) && text.matches('.').count() <= 1 {
        if let Ok(integer) = text.parse::<i64>() {
            return Value::from(integer);
        }
        if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    #[test]
    fn query_fields_are_typed_and_nested_over_the_body() {
        let content = read(&HeaderMap::new(), Some("n=3600&f=1.5&on=true&a.b=x&l=1&l=2&k[]=z&neg=-5"), br#"{"n": 1}"#);
        let expected = json!({"n": 3600, "f": 1.5, "on": true, "a": {"b": "x"}, "l": [1, 2], "k": ["z"], "neg": "-5"});
        assert_eq!(Value::Object(content.unwrap().fields), expected);
    }

    #[test]
    fn json_is_read_whatever_the_content_type_says() {
        let content = read(&headers("text/plain"), None, br#"{"task": "t", "method": "get"}"#).unwrap();
        assert_eq!(Value::Object(content.fields), json!({"task": "t"}));
        assert!(read(&HeaderMap::new(), None, b"  ").unwrap().fields.is_empty());
        for bad in [&b"[1]"[..], b"{", b"\xff"] {
            assert!(read(&HeaderMap::new(), None, bad).unwrap_err().is(400, 0));
        }
    }

    #[test]
    fn json_lines_are_objects_each() {
        let json_lines = headers("application/json-lines");
        let content = read(&json_lines, None, b"{\"a\":1,\"method\":\"get\"}\n\n{\"a\":2}\r\n").unwrap();
        assert_eq!(content.lines, Some(vec![json!({"a": 1}), json!({"a": 2})]));
        assert!(read(&json_lines, None, b"{}\n[1]").unwrap_err().message.contains("line=2"));
    }
}
