//! What reqwest's errors mean to us.

use std::error::Error;
use std::time::Duration;

use super::ClientError;

/// Translates an error of sending a request or reading its answer.
pub(super) fn classify(error: &reqwest::Error, server: &str, url: &str, limit: Duration) -> ClientError {
    if let Some(tls) = find_tls(error) {
        return ClientError::Tls { url: server.to_owned(), why: tls };
    }
    if error.is_connect() {
        let why = if error.is_timeout() { "no connection in time".to_owned() } else { innermost(error) };
        return ClientError::Unreachable { url: server.to_owned(), why };
    }
    if error.is_timeout() {
        return ClientError::Timeout { url: url.to_owned(), seconds: limit.as_secs() };
    }
    if error.is_builder() {
        return ClientError::Settings { why: innermost(error) };
    }
    ClientError::Interrupted { url: url.to_owned(), why: innermost(error) }
}

/// The last error of the chain: the others only say that a request failed.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// A complaint of the TLS layer; it hides inside of I/O errors, which leave themselves out of the chain.
fn find_tls(error: &reqwest::Error) -> Option<String> {
    chain(error).find_map(|cause| peel(cause).downcast_ref::<rustls::Error>()).map(ToString::to_string)
}

/// What an I/O error was made from, however often it was wrapped.
fn peel<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => peel(inner),
        None => error,
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}
