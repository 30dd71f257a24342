//! Takes secrets out of texts that people will read: error messages, progress lines, stored files.

use std::borrow::Cow;
use std::fmt;

/// What a secret is replaced by.
const MASK: &str = "***";
/// Shorter values are not searched for: they would turn up in innocent words.
const SHORTEST_SECRET: usize = 4;

/// Known secrets, and the rule for credentials that are embedded in URLs.
#[derive(Clone, Default)]
pub(crate) struct Scrubber {
    secrets: Vec<String>,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Scrubber({} secrets)", self.secrets.len())
    }
}

impl Scrubber {
    /// Adds a secret, in its plain and in its percent-encoded form.
    pub(crate) fn add(&mut self, secret: &str) {
        for form in [secret.to_owned(), percent_encode(secret)] {
            if form.len() >= SHORTEST_SECRET && !self.secrets.contains(&form) {
                self.secrets.push(form);
            }
        }
        // The longest first, so that no remainder of one secret is left beside the mask of another.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Adds what is embedded in a URL, if anything is.
    pub(crate) fn add_url(&mut self, url: &str) {
        if let Some((scheme, rest)) = url.split_once("://")
            && let Some((userinfo, _)) = authority(rest).rsplit_once('@')
            && !is_plain_user(scheme, userinfo)
        {
            let secret = userinfo.split_once(':').map_or(userinfo, |(_, password)| password);
            self.add(secret);
            self.add(&percent_decode(secret));
        }
    }

    /// The text without secrets.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let masked = self.secrets.iter().fold(Cow::Borrowed(text), |text, secret| {
            if text.contains(secret.as_str()) { Cow::Owned(text.replace(secret.as_str(), MASK)) } else { text }
        });
        scrub_urls(&masked)
    }
}

/// Masks the user information of every URL in a text. The user of an ssh URL, being no secret, stays.
pub(crate) fn scrub_urls(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        rest = after;
        if let Some((userinfo, _)) = authority(after).rsplit_once('@') {
            if is_plain_user(before, userinfo) {
                clean.push_str(userinfo);
            } else {
                clean.push_str(MASK);
            }
            rest = &after[userinfo.len()..];
        }
    }
    clean.push_str(rest);
    clean
}

/// What stands before the path of a URL whose scheme has been taken off.
fn authority(rest: &str) -> &str {
    let ends = |letter: char| letter.is_whitespace() || "/?#'\"`<>".contains(letter);
    &rest[..rest.find(ends).unwrap_or(rest.len())]
}

/// Whether user information is a mere user name: only ssh takes one that is no token. `before` ends with a scheme.
fn is_plain_user(before: &str, userinfo: &str) -> bool {
    let scheme = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("ssh") && !userinfo.contains(':')
}

/// Decodes `%41` to `A`; what is no valid escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let escape = bytes.get(position + 1..position + 3).filter(|_| bytes[position] == b'%');
        let value = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                position += 3;
            }
            None => {
                decoded.push(bytes[position]);
                position += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_are_masked() {
        let check = |text: &str, expected: &str| assert_eq!(scrub_urls(text), expected);
        check("cloning https://me:pw@host/r.git now", "cloning https://***@host/r.git now");
        check("fatal: 'https://token@host': no", "fatal: 'https://***@host': no");
        check("ssh://git@host/r and ssh://git:pw@host/r", "ssh://git@host/r and ssh://***@host/r");
        check("git+https://t:x@h/r@v1#egg=a https://b:c@d", "git+https://***@h/r@v1#egg=a https://***@d");
        check("https://host/a@b", "https://host/a@b");
        check("nothing here", "nothing here");
        check("https://a:p@ss@host/", "https://***@host/");
    }

    #[test]
    fn a_secret_is_masked_in_both_forms() {
        let mut scrubber = Scrubber::default();
        scrubber.add("p@ss/word");
        scrubber.add("abc");
        assert_eq!(scrubber.scrub("p@ss/word p%40ss%2Fword abc"), "*** *** abc");
        scrubber.add_url("https://user:t%6Fken@host/simple");
        assert_eq!(scrubber.scrub("t%6Fken token"), "*** ***");
        assert!(!format!("{scrubber:?}").contains("word"));
    }

    #[test]
    fn percent_escapes_are_decoded() {
        assert_eq!(percent_decode("P%40%2fx"), "P@/x");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
    }
}
