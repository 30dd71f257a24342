//! Words of a line, an entry point or the arguments of a container, as a Python program would take it apart.

/// A quote or an escape that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is not closed.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    /// A backslash is the last character.
    #[error("nothing follows the last backslash")]
    OpenEscape,
}

/// Splits at white space, with the quotes and escapes of a shell and nothing else of it: no comments, no variables.
///
/// These are the rules of Python's `shlex.split`, after which the stock agent's users write their entry points.
pub fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => {
                let escaped = characters.next().ok_or(WordsError::OpenEscape)?;
                word.get_or_insert_default().push(escaped);
            }
            '\'' | '"' => quoted(character, &mut characters, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads up to the closing quote. A backslash means something between double quotes only, and there only before a
/// double quote or another backslash.
fn quoted(quote: char, characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match characters.next().ok_or(WordsError::OpenQuote(quote))? {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => match characters.next().ok_or(WordsError::OpenQuote(quote))? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split(text).unwrap(), expected);
    }

    #[test]
    fn words_are_those_of_shlex() {
        check("", &[]);
        check("  train.py  --lr 0.1\t\n", &["train.py", "--lr", "0.1"]);
        check(r#"a 'b c' "d e""#, &["a", "b c", "d e"]);
        check(r#"--name=""  x''y"#, &["--name=", "xy"]);
        check(r#"'' """#, &["", ""]);
        check(r#"a\ b \"c 'd\e' "f\g\"h\\""#, &["a b", "\"c", r"d\e", r#"f\g"h\"#]);
        check("--color #fff --home $HOME *.py; ls", &["--color", "#fff", "--home", "$HOME", "*.py;", "ls"]);
        check("--url https://x//y", &["--url", "https://x//y"]);
    }

    #[test]
    fn what_is_not_finished_is_named() {
        assert_eq!(split("it's"), Err(WordsError::OpenQuote('\'')));
        assert_eq!(split(r#"a "b\"#), Err(WordsError::OpenQuote('"')));
        assert_eq!(split(r"a\"), Err(WordsError::OpenEscape));
    }
}
