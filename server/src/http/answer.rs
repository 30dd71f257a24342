//! From a reply to an HTTP response.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use protocols::clearml::envelope::{EndpointMeta, Envelope, Meta};
use protocols::clearml::error::ApiError;
use serde_json::{Map, Value};

use crate::auth::TOKEN_COOKIE;
use crate::ids;

/// What a call that went well gives.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The `data` of an envelope.
    Data(Value),
    /// Something to be saved, without an envelope around it.
    Download(Download),
}

/// An answer that is no envelope.
#[derive(Debug)]
pub(crate) struct Download {
    /// What it is, for example `text/csv; charset=utf-8`.
    pub(crate) content_type: &'static str,
    /// Under which name browsers save it.
    pub(crate) file_name: String,
    /// The content; may be a stream.
    pub(crate) body: Body,
}

/// Identification of one call and of its answer.
#[derive(Clone, Debug)]
pub(super) struct CallMeta {
    pub(super) id: String,
    pub(super) trx: String,
    pub(super) endpoint: EndpointMeta,
}

impl CallMeta {
    pub(super) fn new(trx: Option<&str>) -> Self {
        let id = ids::new_id();
        Self { trx: trx.unwrap_or(&id).to_owned(), id, endpoint: EndpointMeta::default() }
    }

    /// The envelope around `answer`, whose status is the status of the response; or the download as it is.
    pub(super) fn respond(self, answer: Result<Answer, ApiError>) -> Response<Body> {
        let Self { id, trx, endpoint } = self;
        let name = endpoint.name.clone();
        let (meta, data) = match answer {
            Ok(Answer::Data(data)) => (Meta::ok(id, trx, endpoint), data),
            Ok(Answer::Download(download)) => return download.respond(),
            Err(error) => (Meta::failed(id, trx, endpoint, &error), Value::Object(Map::new())),
        };
        let cookie = cookie_of(&name, &meta, &data);
        let status = StatusCode::from_u16(meta.result_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&Envelope { meta, data }).expect("an envelope is plain JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(cookie) = cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }
}

impl Download {
    fn respond(self) -> Response<Body> {
        // What is not plainly a name in every browser becomes a `_`.
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
        let name: String =
            self.file_name.chars().map(|character| if plain(character) { character } else { '_' }).collect();
        let mut response = Response::new(self.body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename={name}")) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        response
    }
}

/// Browsers keep their token as a cookie, set at login and cleared at logout.
fn cookie_of(endpoint: &str, meta: &Meta, data: &Value) -> Option<HeaderValue> {
    if meta.result_code != 200 {
        return None;
    }
    let (token, age) = match endpoint {
        "auth.login" => (data.get("token")?.as_str()?, 99_999_999_999_u64),
        "auth.logout" | "login.logout" => ("", 0),
        _ => return None,
    };
    let cookie = format!("{TOKEN_COOKIE}={token}; HttpOnly; Path=/; SameSite=Lax; Max-Age={age}");
    HeaderValue::from_str(&cookie).ok()
}

/// The answer to a request with an encoded body: a text, as clients know it.
pub(super) fn unsupported_encoding(encoding: &str) -> Response<Body> {
    let encoding: String = encoding.chars().filter(|character| character.is_ascii_alphanumeric()).take(32).collect();
    let mut response = Response::new(Body::from(format!("Content encoding is not supported ({encoding})")));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The error for a path that is no path of the API.
pub(super) fn invalid_path(path: &str) -> ApiError {
    ApiError::new(400, 0, format!("Invalid request path {path}"))
}
