//! Bodies: JSON, json-lines, form and query fields.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use protocols::clearml::error::ApiError;
use serde_json::{Map, Number, Value};

use super::json;

/// What a request carries.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) fields: Map<String, Value>,
    pub(super) lines: Option<Vec<Value>>,
}

/// Fields in a query or a form at most.
const ENCODED_FIELDS: usize = 10_000;

/// Parts of the dotted name of such a field at most: each is an object inside another.
const NAME_DEPTH: usize = 32;

/// Reads the body and the query of a request.
///
/// # Errors
/// 400/0 when it is not what its content type says.
pub(super) fn read(headers: &HeaderMap, query: Option<&str>, bytes: &[u8]) -> Result<Content, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut content = Content::default();
    // Exactly: with a charset behind it, the body is one document, as it always was.
    if content_type == "application/json-lines" {
        content.lines = Some(lines(bytes)?);
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        merge(&mut content.fields, bytes)?;
    } else if !bytes.trim_ascii().is_empty() {
        content.fields = match json::read(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(ApiError::bad_request("the body must be a JSON object", &[])),
            Err(error) => return Err(ApiError::bad_request("the body is not JSON", &[("reason", &error)])),
        };
    }
    merge(&mut content.fields, query.unwrap_or_default().as_bytes())?;
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
        match json::read(line) {
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
fn merge(fields: &mut Map<String, Value>, encoded: &[u8]) -> Result<(), ApiError> {
    let mut keys: BTreeMap<String, (Vec<Value>, bool)> = BTreeMap::new();
    for (position, (key, text)) in url::form_urlencoded::parse(encoded).enumerate() {
        let (name, is_list) = key.strip_suffix("[]").map_or((&*key, false), |name| (name, true));
        if position == ENCODED_FIELDS || name.split('.').nth(NAME_DEPTH).is_some() {
            return Err(ApiError::bad_request("the query or form has too many fields, or too deep ones", &[]));
        }
        let (values, lists) = keys.entry(name.to_owned()).or_default();
        values.push(typed(&text));
        *lists |= is_list;
    }
    for (key, (mut values, is_list)) in keys {
        let value = if is_list || values.len() > 1 { Value::Array(values) } else { values.remove(0) };
        insert(fields, &key, value);
    }
    Ok(())
}

fn insert(fields: &mut Map<String, Value>, key: &str, value: Value) {
    let Some((parent, below)) = key.split_once('.') else {
        fields.insert(key.to_owned(), value);
        return;
    };
    let next = fields.entry(parent).or_insert_with(|| Value::Object(Map::new()));
    if !next.is_object() {
        *next = Value::Object(Map::new());
    }
    if let Value::Object(next) = next {
        insert(next, below, value);
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
    fn queries_and_forms_stay_within_their_limits() {
        let form = headers("application/x-www-form-urlencoded");
        let deep = "a.".repeat(40) + "b=1";
        let many = "a=1&".repeat(ENCODED_FIELDS + 1);
        for bad in [&deep, &many] {
            assert!(read(&form, None, bad.as_bytes()).unwrap_err().is(400, 0));
            assert!(read(&HeaderMap::new(), Some(bad), b"").unwrap_err().is(400, 0));
        }
        let content = read(&form, Some("a.b=2"), b"a=1&a.c.d=3&[]=4&=5").unwrap();
        assert_eq!(Value::Object(content.fields), json!({"": [4, 5], "a": {"b": 2, "c": {"d": 3}}}));
    }

    #[test]
    fn a_charset_makes_one_document_of_json_lines() {
        let with_charset = headers("application/json-lines; charset=utf-8");
        assert!(read(&with_charset, None, b"{}\n{}").unwrap_err().is(400, 0));
        assert_eq!(read(&with_charset, None, b"{\"a\": 1}").unwrap().lines, None);
    }

    #[test]
    fn json_lines_are_objects_each() {
        let json_lines = headers("application/json-lines");
        let content = read(&json_lines, None, b"{\"a\":1,\"method\":\"get\"}\n\n{\"a\":2}\r\n").unwrap();
        assert_eq!(content.lines, Some(vec![json!({"a": 1}), json!({"a": 2})]));
        assert!(read(&json_lines, None, b"{}\n[1]").unwrap_err().message.contains("line=2"));
    }
}
