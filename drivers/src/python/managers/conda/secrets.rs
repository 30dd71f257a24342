//! Passwords and tokens in the URLs of channels: what people read, and what is kept, does without them.

use std::ops::Range;

use crate::scrub::percent_decode;

/// Where a URL ends, in what these programs write and in files of YAML and JSON.
const ENDS: [char; 8] = ['"', '\'', '`', '<', '>', '\\', ',', ']'];

/// Which part of a URL holds a secret.
#[derive(Clone, Copy)]
enum Part {
    /// `NAME:PASSWORD@` before its host.
    User,
    /// `/t/TOKEN` in its path.
    Token,
}

/// A secret in a URL.
struct Place {
    part: Part,
    /// What goes when the URL is to do without it.
    whole: Range<usize>,
    /// The secret itself.
    secret: Range<usize>,
}

/// Whether a channel, or a package that names one, has a secret in it.
pub(super) fn has_secret(text: &str) -> bool {
    !places(text).is_empty()
}

/// The secrets in a text, as they stand there and decoded.
pub(super) fn secrets(text: &str) -> Vec<String> {
    let found = places(text).into_iter().map(|place| &text[place.secret]);
    found.flat_map(|secret| [secret.to_owned(), percent_decode(secret)]).collect()
}

/// For people: that there is a secret can be seen.
pub(super) fn masked(text: &str) -> String {
    replaced(text, |part| match part {
        Part::User => "***@",
        Part::Token => "/t/***",
    })
}

/// As conda writes URLs down itself: without.
pub(super) fn removed(text: &str) -> String {
    replaced(text, |_| "")
}

fn replaced(text: &str, with: impl Fn(Part) -> &'static str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for Place { part, whole, .. } in places(text) {
        result.push_str(&text[done..whole.start]);
        result.push_str(with(part));
        done = whole.end;
    }
    result.push_str(&text[done..]);
    result
}

/// The secrets of all URLs in a text, first to last.
fn places(text: &str) -> Vec<Place> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let scheme = text[..at].rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        if scheme.is_empty() || scheme.eq_ignore_ascii_case("file") {
            continue;
        }
        let start = at + mark.len();
        let ends = |letter: char| letter.is_whitespace() || ENDS.contains(&letter);
        let url = &text[start..text[start..].find(ends).map_or(text.len(), |end| start + end)];
        let path = url.find('/').unwrap_or(url.len());
        if let Some(end) = url[..path].rfind('@') {
            let secret = url[..end].find(':').map_or(0, |colon| colon + 1);
            let (whole, secret) = (start..start + end + 1, start + secret..start + end);
            found.push(Place { part: Part::User, whole, secret });
        }
        // As in `https://host/t/TOKEN/channel`.
        if let Some(before) = url[path..].find("/t/") {
            let from = path + before;
            let token = from + "/t/".len();
            let end = url[token..].find('/').map_or(url.len(), |end| token + end);
            if end > token {
                let (whole, secret) = (start + from..start + end, start + token..start + end);
                found.push(Place { part: Part::Token, whole, secret });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_where_conda_takes_one() {
        let check = |text: &str, expected: &[&str], shown: &str, kept: &str| {
            let mut found = secrets(text);
            found.dedup();
            assert_eq!(found, expected, "{text}");
            assert_eq!((masked(text).as_str(), removed(text).as_str()), (shown, kept), "{text}");
            assert_eq!(has_secret(text), !expected.is_empty(), "{text}");
        };
        let same = |text: &str| check(text, &[], text, text);
        check(
            "https://conda.example/t/ab-12/own",
            &["ab-12"],
            "https://conda.example/t/***/own",
            "https://conda.example/own",
        );
        check("https://me:p%40ss@h:8080/own", &["p%40ss", "p@ss"], "https://***@h:8080/own", "https://h:8080/own");
        check("https://token@h/own::a>=2", &["token"], "https://***@h/own::a>=2", "https://h/own::a>=2");
        check(
            "channels: [\"https://a:b@h/t/c\", 'https://h/x/t/d/e']",
            &["b", "c", "d"],
            "channels: [\"https://***@h/t/***\", 'https://h/x/t/***/e']",
            "channels: [\"https://h\", 'https://h/x/e']",
        );
        check("see <https://h/t/é/x>, now", &["é"], "see <https://h/t/***/x>, now", "see <https://h/x>, now");
        same("conda-forge::a=1");
        same("https://h/test/own/t");
        same("file:///srv/t/own/linux-64 and /t/own");
        same("https://h/own/t/");
        same("://t/x");
    }

    #[test]
    fn what_is_masked_stays_as_it_is() {
        let text = masked("https://a:b@h/t/c/own");
        assert_eq!(masked(&text), text);
    }
}
