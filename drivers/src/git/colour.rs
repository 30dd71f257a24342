//! Diffs in colour, as git writes them where `color.ui` is `always`. Pure.

use std::borrow::Cow;

/// A diff without its colours. In one that has none, lines begin with anything but an escape sequence, and what its
/// files hold of those stays.
pub fn without_colour(diff: &str) -> Cow<'_, str> {
    if !diff.lines().any(|line| sequence(line).is_some()) {
        return Cow::Borrowed(diff);
    }
    let mut plain = String::with_capacity(diff.len());
    let mut rest = diff;
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        // One of another kind is a part of the text.
        let length = sequence(&rest[at..]).unwrap_or_else(|| {
            plain.push('\x1b');
            1
        });
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The length of the colour that a text begins with.
fn sequence(text: &str) -> Option<usize> {
    const START: &str = "\x1b[";
    let rest = text.strip_prefix(START)?;
    let numbers = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    matches!(rest.as_bytes().get(numbers), Some(b'm' | b'K')).then_some(START.len() + numbers + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_the_text_stays() {
        let coloured = "\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[36m@@ -1 +1 @@\x1b[m def\n\x1b[31m-a\x1b[m\n\
            \x1b[1;38;5;208m+\x1b[m\x1b[32mb\x1b[m\x1b[41m \x1b[m\n é\x1b[K\x1b(x\n";
        assert_eq!(without_colour(coloured), "diff --git a/x b/x\n@@ -1 +1 @@ def\n-a\n+b \n é\x1b(x\n");
    }

    #[test]
    fn colours_in_files_are_text() {
        let plain = "diff --git a/x b/x\n@@ -1 +1 @@\n-\x1b[31ma\x1b[m\n+\x1b[32mb\x1b[m\n";
        assert!(matches!(without_colour(plain), Cow::Borrowed(text) if text == plain));
    }
}
