//! Reads what came back: an envelope, or something that is not ClearML.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::Value;

use super::ClientError;

/// Longest excerpt of a foreign answer in an error, in characters.
const EXCERPT_LENGTH: usize = 80;

/// An answer as it came.
pub(super) struct Raw<'a> {
    /// `service.action`.
    pub(super) endpoint: &'a str,
    /// The URL that was called.
    pub(super) url: &'a str,
    /// HTTP status.
    pub(super) status: u16,
    /// The `Location` header.
    pub(super) location: Option<&'a str>,
    /// Body.
    pub(super) body: &'a [u8],
}

/// The envelope, read as leniently as can be: only what tells success from failure must be there.
#[derive(Deserialize)]
struct LenientEnvelope {
    meta: LenientMeta,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct LenientMeta {
    result_code: u16,
    #[serde(default)]
    result_subcode: Option<u16>,
    #[serde(default)]
    result_msg: Option<String>,
}

impl Raw<'_> {
    /// The `data` of the answer, an object, or why there is none.
    pub(super) fn data(&self) -> Result<Value, ClientError> {
        let Ok(LenientEnvelope { meta, data }) = serde_json::from_slice::<LenientEnvelope>(self.body) else {
            return Err(self.foreign());
        };
        if meta.result_code == 200 {
            return Ok(if data.is_null() { Value::Object(serde_json::Map::new()) } else { data });
        }
        let error =
            ApiError::new(meta.result_code, meta.result_subcode.unwrap_or(0), meta.result_msg.unwrap_or_default());
        Err(ClientError::Api { endpoint: self.endpoint.to_owned(), error })
    }

    fn foreign(&self) -> ClientError {
        let url = self.url.to_owned();
        match (self.status, self.location) {
            (300..=399, Some(to)) => ClientError::Redirected { url, to: to.to_owned() },
            // A proxy's own page while the server behind it is down.
            (429 | 500..=599, _) => ClientError::Unavailable { url, status: self.status },
            (status, _) => ClientError::NotClearMl { url, status, excerpt: excerpt(self.body) },
        }
    }
}

/// The title of a page, or the first words of a text.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * 1024)]);
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|start| start + "<title>".len()).and_then(|start| {
        let end = start + lower[start..].find("</title>")?;
        text.get(start..end)
    });
    let words = title.unwrap_or(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(EXCERPT_LENGTH) {
        Some((end, _)) => format!("{}..", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: u16, location: Option<&str>, body: &[u8]) -> Result<Value, ClientError> {
        Raw { endpoint: "a.b", url: "http://h/a.b", status, location, body }.data()
    }

    #[test]
    fn an_envelope_gives_its_data_or_its_error() {
        let ok = br#"{"meta": {"result_code": 200, "result_subcode": 0}, "data": {"x": 1}}"#;
        assert_eq!(read(200, None, ok), Ok(json!({"x": 1})));
        assert_eq!(read(200, None, br#"{"meta": {"result_code": 200}, "data": null}"#), Ok(json!({})));
        let refused = br#"{"meta": {"result_code": 400, "result_subcode": 701, "result_msg": "no"}, "data": {}}"#;
        let error = read(400, None, refused).unwrap_err();
        assert!(error.is_api(400, 701) && !error.is_transient(), "{error}");
        assert_eq!(error.to_string(), "a.b: no (400/701)");
    }

    #[test]
    fn a_web_page_is_named_by_its_title() {
        let page = b"<!DOCTYPE html><html>\n<head><TITLE>\n ClearML  Web\n</TITLE></head>";
        let error = read(200, None, page).unwrap_err();
        assert!(matches!(&error, ClientError::NotClearMl { excerpt, .. } if excerpt == "ClearML Web"), "{error}");
        assert!(error.to_string().contains("8008"));
    }

    #[test]
    fn foreign_answers_are_told_apart() {
        assert!(read(502, None, b"<html>Bad Gateway").unwrap_err().is_transient());
        assert!(matches!(read(301, Some("https://h"), b""), Err(ClientError::Redirected { .. })));
        assert!(matches!(read(301, None, b""), Err(ClientError::NotClearMl { .. })));
        for body in [&b""[..], b"[]", b"{}", b"null", b"\xff\xfe", "é".repeat(500).as_bytes()] {
            assert!(matches!(read(200, None, body), Err(ClientError::NotClearMl { .. })));
        }
    }
}
