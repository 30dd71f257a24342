//! The HTTP layer: from a request to a [`Call`], and from a [`Reply`] to an envelope.
//!
//! Order of checks, which clients see: path, endpoint, credentials, role, impersonation, body. So a bad token wins
//! over a bad body.

mod answer;
mod body;
pub(crate) mod endpoints;
mod health;
mod intake;
mod json;
mod path;
mod router;

pub(crate) use answer::{Answer, Download};
pub(crate) use intake::Intake;
pub(crate) use router::{Port, router};

use std::cell::Cell;
use std::net::IpAddr;

use protocols::clearml::envelope::ApiVersion;
use protocols::clearml::error::ApiError;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::auth::{Identity, Proof, Source};

/// One call of an endpoint, after the checks of path, credentials and body syntax.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `service.action`.
    pub(crate) endpoint: String,
    /// The version in the path, or the newest.
    pub(crate) version: ApiVersion,
    /// The JSON body with query and form fields on top; `method`, which the SDK adds, is taken out.
    pub(crate) body: Map<String, Value>,
    /// The objects of a json-lines body, each without `method`.
    pub(crate) lines: Option<Vec<Value>>,
    /// Who calls; absent on the few endpoints that need no credentials.
    pub(crate) caller: Option<Identity>,
    /// How it proved that.
    pub(crate) proof: Option<Proof>,
    /// `X-ClearML-Worker`, the worker id of the caller.
    pub(crate) worker: Option<String>,
    /// Where the call comes from.
    pub(crate) ip: Option<IpAddr>,
    /// The same, as far as wrong passwords are counted.
    pub(crate) source: Source,
}

/// What nearly every endpoint answers: the `data` of the envelope, or an error.
pub(crate) type Reply = Result<Value, ApiError>;

impl Call {
    /// A call that comes by no network.
    pub(crate) fn from_inside(endpoint: &str, body: Map<String, Value>, caller: Identity) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            version: endpoints::NEWEST,
            body,
            lines: None,
            caller: Some(caller),
            proof: None,
            worker: None,
            ip: None,
            source: Source::INSIDE,
        }
    }

    /// Who calls. On an endpoint that needs no credentials and got none, that is nobody in particular.
    pub(crate) fn identity(&self) -> Identity {
        self.caller.clone().unwrap_or_else(Identity::nobody)
    }

    /// Reads the body as `T`. A null counts as absent, an unknown field is ignored.
    ///
    /// # Errors
    /// 400/12 in the form that clients know, for a missing or mistyped field.
    pub(crate) fn arguments<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // An error does not say which field it is about: the last one that was looked at.
        let reading = Cell::new("");
        let given = self.body.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(name, value)| (name.as_str(), value)).inspect(|(name, _)| reading.set(name));
        T::deserialize(MapDeserializer::new(given)).map_err(|error: serde_json::Error| {
            let text = error.to_string();
            match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
                Some(field) => ApiError::missing_field(field),
                None => ApiError::bad_field(reading.get(), &text),
            }
        })
    }
}
