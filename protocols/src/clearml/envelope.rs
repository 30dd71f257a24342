//! What surrounds every answer of the API: `{"meta": {..}, "data": {..}}`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::clearml::error::ApiError;

/// Version of the API, `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// Before the dot.
    pub major: u32,
    /// After the dot.
    pub minor: u32,
}

/// The text is not a version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not an API version: {text:?}")]
pub struct BadVersion {
    /// The text that was given.
    pub text: String,
}

impl ApiVersion {
    /// Makes a version.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = BadVersion;

    /// Reads `2.23`, or a major version alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadVersion { text: text.to_owned() };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad());
            }
            digits.parse().map_err(|_| bad())
        };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl Serialize for ApiVersion {
    /// A text from 2.1 on, a number before: the form that clients have always seen.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self >= Self::new(2, 1) {
            return serializer.collect_str(self);
        }
        let number: f64 = self.to_string().parse().expect("two integers around a dot are a number");
        serializer.serialize_f64(number)
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(serde::de::Error::custom(format!("not an API version: {other}")));
            }
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which endpoint was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointMeta {
    /// `service.action`; empty when the path named none.
    #[serde(default)]
    pub name: String,
    /// The version in the path, or the newest one.
    #[serde(default)]
    pub requested_version: Option<ApiVersion>,
    /// The version that answered; absent when no endpoint was found.
    #[serde(default)]
    pub actual_version: Option<ApiVersion>,
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// New for every call.
    pub id: String,
    /// What the caller sent as `X-ClearML-Trx`, else the id.
    pub trx: String,
    /// Which endpoint was called.
    pub endpoint: EndpointMeta,
    /// The HTTP status; 200 when all is well.
    pub result_code: u16,
    /// Tells errors of one status apart; 0 when all is well.
    #[serde(default)]
    pub result_subcode: u16,
    /// `OK`, or what went wrong.
    #[serde(default)]
    pub result_msg: String,
    /// Always null here.
    #[serde(default)]
    pub error_stack: Option<String>,
    /// Always empty here.
    #[serde(default)]
    pub error_data: Map<String, Value>,
}

/// An answer: how the call went, and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope<T = Value> {
    /// How the call went.
    pub meta: Meta,
    /// What it gave; an empty object on errors.
    #[serde(default = "Default::default", bound(deserialize = "T: Default + Deserialize<'de>"))]
    pub data: T,
}

impl Meta {
    /// Meta of a call that went well.
    pub fn ok(id: String, trx: String, endpoint: EndpointMeta) -> Self {
        Self {
            id,
            trx,
            endpoint,
            result_code: 200,
            result_subcode: 0,
            result_msg: "OK".to_owned(),
            error_stack: None,
            error_data: Map::new(),
        }
    }

    /// Meta of a call that failed.
    pub fn failed(id: String, trx: String, endpoint: EndpointMeta, error: &ApiError) -> Self {
        Self {
            result_code: error.status,
            result_subcode: error.subcode,
            result_msg: error.message.clone(),
            ..Self::ok(id, trx, endpoint)
        }
    }

    /// The error that this meta tells of, if any.
    pub fn error(&self) -> Option<ApiError> {
        (self.result_code != 200).then(|| ApiError::new(self.result_code, self.result_subcode, &*self.result_msg))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn envelope_is_frozen() {
        let endpoint = EndpointMeta {
            name: "tasks.create".to_owned(),
            requested_version: Some(ApiVersion::new(2, 23)),
            actual_version: Some(ApiVersion::new(1, 0)),
        };
        let meta = Meta::ok("a1".to_owned(), "b2".to_owned(), endpoint);
        let envelope = Envelope { meta, data: json!({"id": "c3"}) };
        let text = serde_json::to_string(&envelope).unwrap();
        assert_eq!(
            text,
            r#"{"meta":{"id":"a1","trx":"b2","endpoint":{"name":"tasks.create","requested_version":"2.23","actual_version":1.0},"result_code":200,"result_subcode":0,"result_msg":"OK","error_stack":null,"error_data":{}},"data":{"id":"c3"}}"#
        );
        assert_eq!(serde_json::from_str::<Envelope>(&text).unwrap(), envelope);
    }

    #[test]
    fn versions_compare_as_numbers() {
        let version = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(version("2.9") < version("2.13"));
        assert!(version("999.0") > version("2.34"));
        assert_eq!(version("10"), ApiVersion::new(10, 0));
        for bad in ["", ".", "2.", ".5", "x", "2.x", "+2.1"] {
            assert!(bad.parse::<ApiVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn failed_meta_gives_its_error_back() {
        let error = ApiError::invalid_queue_id("", &[("id", &"q")]);
        let meta = Meta::failed("a".to_owned(), "b".to_owned(), EndpointMeta::default(), &error);
        assert_eq!(meta.error(), Some(error));
    }
}
