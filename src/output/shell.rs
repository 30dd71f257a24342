//! Text that people paste into a shell.

/// A word as a shell, or the agent, reads it.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_@%+=:,./-".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_needed() {
        for (word, quoted) in [
            ("--lr=0.1", "--lr=0.1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r#"'it'"'"'s'"#),
            ("$x", "'$x'"),
            ("\u{fc}", "'\u{fc}'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }
}
