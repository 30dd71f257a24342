//! Tokens: when to ask for a new one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use protocols::clearml::auth::TokenClaims;

/// Longest time before its end that a token is renewed.
const MAX_MARGIN: Duration = Duration::from_secs(12 * 3600);

/// A token, and when it is to be replaced.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: String,
    /// Renewed at its first use after this; `None` when it never expires as far as can be told.
    renew_at: Option<Instant>,
}

impl Token {
    /// A token that was just issued.
    ///
    /// Its lifetime is measured from the server's own `iat` where there is one, so that clocks that differ do no harm.
    pub(super) fn issued_now(text: String) -> Self {
        let renew_at = claims(&text).and_then(|claims| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
            let seconds = claims.exp? - claims.iat.unwrap_or(now);
            let lifetime = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
            Instant::now().checked_add(lifetime - margin(lifetime))
        });
        Self { text, renew_at }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.renew_at.is_none_or(|renew_at| Instant::now() < renew_at)
    }
}

/// A quarter of the lifetime, at most twelve hours: a short-lived token must not be renewed at every call.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 4).min(MAX_MARGIN)
}

/// What the token says of itself. Its signature is the server's business.
fn claims(token: &str) -> Option<TokenClaims> {
    let payload = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.sig", encode(r#"{"alg":"HS256"}"#), encode(payload))
    }

    fn remaining(token: &Token) -> Duration {
        token.renew_at.expect("it expires").saturating_duration_since(Instant::now())
    }

    #[test]
    fn a_long_lived_token_is_renewed_half_a_day_early() {
        let month = 30 * 86_400;
        let token = Token::issued_now(jwt(&format!(r#"{{"iat": 100, "exp": {}}}"#, 100 + month)));
        let expected = Duration::from_secs(month) - MAX_MARGIN;
        assert!(remaining(&token) <= expected && remaining(&token) > expected - Duration::from_secs(60));
        assert!(token.is_fresh());
    }

    #[test]
    fn a_short_lived_token_is_used_for_three_quarters_of_its_life() {
        let token = Token::issued_now(jwt(r#"{"iat": 100, "exp": 4100}"#));
        assert!(remaining(&token) <= Duration::from_secs(3000) && remaining(&token) > Duration::from_secs(2940));
        assert!(!Token::issued_now(jwt(r#"{"iat": 100, "exp": 90}"#)).is_fresh());
    }

    #[test]
    fn what_does_not_tell_its_end_is_used_until_it_is_refused() {
        for text in ["opaque", "a.b.c", &jwt("{}"), &jwt("[]")] {
            assert!(Token::issued_now(text.to_owned()).is_fresh(), "{text}");
        }
    }
}
