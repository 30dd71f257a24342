//! What the headers of a request say about its sender.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocols::clearml::error::ApiError;

/// Cookie that carries a token for browsers.
pub(crate) const TOKEN_COOKIE: &str = "clearml_token_basic";

/// What a caller offers to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Access key and secret, or name and password.
    Secret { name: String, secret: String },
    /// A token.
    Token(String),
}

impl Offer {
    /// Reads `Authorization: Basic` or `Bearer`, or the cookie.
    ///
    /// # Errors
    /// 401 with the subcode that tells clients what to do.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            let token = cookie(headers).ok_or_else(|| ApiError::no_credentials("", &[]))?;
            return Ok(Self::Token(token.to_owned()));
        };
        let malformed = || ApiError::bad_credentials("", &[]);
        let value = value.to_str().map_err(|_| malformed())?;
        match value.split_once(' ') {
            Some(("Basic", encoded)) => {
                let decoded = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
                let text = String::from_utf8(decoded).map_err(|_| malformed())?;
                let (name, secret) = text.split_once(':').ok_or_else(malformed)?;
                Ok(Self::Secret { name: name.to_owned(), secret: secret.to_owned() })
            }
            Some(("Bearer", token)) => Ok(Self::Token(token.trim().to_owned())),
            Some(_) | None => Err(ApiError::bad_auth_type("", &[])),
        }
    }
}

/// Whether a page of another site made a browser send this. Its cookie then says nothing about what its user wants.
pub(crate) fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

/// The worker id that the caller gives.
pub(crate) fn worker(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-clearml-worker").or_else(|| text(headers, "x-trains-worker"))
}

/// Whom the caller wants to be, and whom it wants to act for.
pub(crate) fn impersonation(headers: &HeaderMap) -> (Option<&str>, Option<&str>) {
    let either = |name, older| text(headers, name).or_else(|| text(headers, older)).filter(|user| !user.is_empty());
    (either("x-clearml-impersonate-as", "x-trains-impersonate-as"), either("x-clearml-act-as", "x-trains-act-as"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == TOKEN_COOKIE)
        .map(|(_, token)| token)
}

/// Where a request comes from, as far as attempts to log in are counted: an address, or the part of an IPv6 address
/// that its owner cannot choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(Option<IpAddr>);

impl Source {
    /// This process itself.
    pub(crate) const INSIDE: Self = Self(None);

    /// The sender of a request. A proxy on this machine is believed about whom it speaks for.
    pub(crate) fn of_request(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| {
            // The last one is what the proxy itself has seen; the others anybody can write.
            value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        });
        match peer {
            Some(peer) if peer.is_loopback() => Self::of(forwarded.unwrap_or(peer)),
            Some(peer) => Self::of(peer),
            None => Self(None),
        }
    }

    /// An address as a source.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address @ IpAddr::V4(_) => address,
        }))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn source(peer: &str, forwarded: Option<&'static str>) -> Source {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        if let Some(forwarded) = forwarded {
            headers.insert("x-forwarded-for", HeaderValue::from_static(forwarded));
        }
        Source::of_request(&headers, &extensions)
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        assert_eq!(source("10.0.0.1", Some("1.2.3.4")), source("10.0.0.1", None));
        assert_eq!(source("127.0.0.1", Some("6.6.6.6, 1.2.3.4")), source("1.2.3.4", None));
        assert_ne!(source("127.0.0.1", None), source("1.2.3.4", None));
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        assert_eq!(source("2001:db8::1", None), source("2001:db8::ffff", None));
        assert_ne!(source("2001:db8::1", None), source("2001:db8:0:1::1", None));
        assert_eq!(source("::ffff:10.0.0.1", None), source("10.0.0.1", None));
    }
}
