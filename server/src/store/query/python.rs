//! From Python's dialect of regular expressions, which clients write, to ours.

/// What a pattern becomes: the text must match all of these, or not match them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    /// The pattern itself, without the look-ahead at its beginning.
    pub(super) pattern: String,
    /// Look-ahead at the beginning of an anchored pattern: what must (`true`) or must not follow.
    pub(super) ahead: Vec<(bool, String)>,
}

/// Translates a pattern. What is not understood is left as it is, for the compiler to refuse.
///
/// Any escaped character that is no letter or digit means itself, `\Z` is the end, a brace that begins no repetition is a
/// brace, and a class knows no operators. Word boundaries are those of ASCII. `^(?!draft)` and `^(?=.*final)` are
/// conditions of their own: the engine behind runs in linear time and cannot look around.
pub(super) fn translate(pattern: &str) -> Translated {
    let (ahead, rest) = ahead(pattern);
    let anchor = if ahead.is_empty() { "" } else { "^" };
    let ahead = ahead.into_iter().map(|(wanted, inner)| (wanted, format!("^(?:{})", plain(inner)))).collect();
    Translated { pattern: format!("{anchor}{}", plain(rest)), ahead }
}

/// Splits `^(?=a)(?!b)rest` into its conditions and `rest`. A pattern of another form has none: look-ahead elsewhere
/// is refused by the compiler, which names it.
fn ahead(pattern: &str) -> (Vec<(bool, &str)>, &str) {
    let mut conditions = Vec::new();
    let Some(mut rest) = pattern.strip_prefix('^') else { return (conditions, pattern) };
    if has_alternatives(rest) {
        // The anchor belongs to the first alternative alone.
        return (conditions, pattern);
    }
    loop {
        let (wanted, inside) = match (rest.strip_prefix("(?="), rest.strip_prefix("(?!")) {
            (Some(inside), _) => (true, inside),
            (None, Some(inside)) => (false, inside),
            (None, None) => break,
        };
        let Some(end) = group_end(inside) else { break };
        conditions.push((wanted, &inside[..end]));
        rest = &inside[end + 1..];
    }
    if conditions.is_empty() { (conditions, pattern) } else { (conditions, rest) }
}

/// The byte position of the bracket that closes a group whose inside begins here.
fn group_end(inside: &str) -> Option<usize> {
    structure(inside).find_map(|(position, character, depth)| (character == ')' && depth < 0).then_some(position))
}

fn has_alternatives(pattern: &str) -> bool {
    structure(pattern).any(|(_, character, depth)| character == '|' && depth == 0)
}

/// The brackets and bars outside of classes and escapes, each with the depth after it.
fn structure(pattern: &str) -> impl Iterator<Item = (usize, char, i32)> {
    let mut depth = 0;
    let mut class_began = None;
    let mut escaped = false;
    pattern.char_indices().filter_map(move |(position, character)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        match (character, class_began) {
            ('\\', _) => escaped = true,
            // The first character of a class, after an optional `^`, does not close it.
            (']', Some(began)) if position > began + 1 && !pattern[began..position].eq("[^") => class_began = None,
            ('[', None) => class_began = Some(position),
            ('(', None) => depth += 1,
            (')', None) => depth -= 1,
            _ => {}
        }
        (class_began.is_none() && matches!(character, '(' | ')' | '|')).then_some((position, character, depth))
    })
}

/// A pattern without look-ahead.
fn plain(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars().peekable();
    // How many characters of a class were read, while in one.
    let mut in_class: Option<usize> = None;
    while let Some(character) = characters.next() {
        let read = in_class.map(|read| read + 1);
        match (character, read) {
            ('\\', _) => escape(&mut text, characters.next(), in_class.is_some()),
            ('[', None) => {
                text.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    text.push('^');
                }
                in_class = Some(0);
                continue;
            }
            (']', Some(1)) => text.push_str("\\]"),
            (']', Some(_)) => {
                text.push(']');
                in_class = None;
                continue;
            }
            // Operators of our classes; plain characters to Python.
            ('[' | '&' | '~', Some(_)) => text.extend(['\\', character]),
            ('-', Some(_)) if characters.peek() == Some(&'-') => text.push_str("\\-"),
            ('{', None) => text.push_str(brace(&mut characters)),
            (other, _) => text.push(other),
        }
        in_class = read;
    }
    text
}

/// What an opening brace means, by what follows: `{2}`, `{2,}`, `{2,3}` and `{,3}` repeat, all else is a brace.
fn brace(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> &'static str {
    let ahead: String = characters.clone().take_while(|character| *character != '}').take(24).collect();
    let closed = characters.clone().nth(ahead.chars().count()) == Some('}');
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match ahead.split_once(',') {
        None if closed && !ahead.is_empty() && digits(&ahead) => "{",
        Some(("", most)) if closed && !most.is_empty() && digits(most) => "{0",
        Some((least, most)) if closed && !least.is_empty() && digits(least) && digits(most) => "{",
        Some(_) | None => "\\{",
    }
}

fn escape(text: &mut String, escaped: Option<char>, in_class: bool) {
    match escaped {
        None => text.push('\\'),
        Some('Z') if !in_class => text.push_str("\\z"),
        Some('b') if in_class => text.push_str("\\x08"),
        Some(boundary @ ('b' | 'B')) => text.push_str(&format!("(?-u:\\{boundary})")),
        Some(letter) if letter.is_ascii_alphanumeric() => text.extend(['\\', letter]),
        Some(other) if other.is_ascii() => {
            if other.is_ascii_punctuation()
                && !matches!(other, '<' | '>' | '_' | '"' | '\'' | '`' | ',' | ';' | ':' | '=' | '@' | '%' | '!' | '/')
            {
                text.push('\\');
            }
            text.push(other);
        }
        Some(other) => text.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        assert_eq!(translate(pattern), Translated { pattern: expected.to_owned(), ahead: Vec::new() }, "{pattern}");
    }

    #[test]
    fn the_dialect_is_translated() {
        check(r"^a\-b\ c\/d$", r"^a\-b c/d$");
        check(r"\<x\>\_", "<x>_");
        check(r"end\Z", r"end\z");
        check(r"\bword\B", r"(?-u:\b)word(?-u:\B)");
        check(r"[\b\w]", r"[\x08\w]");
        check("[]a]", r"[\]a]");
        check("[^]a]x", r"[^\]a]x");
        check("[[a]", r"[\[a]");
        check("[a&&b~~c--d]", r"[a\&\&b\~\~c\--d]");
        check("a{2}b{2,}c{2,3}d{,3}", "a{2}b{2,}c{2,3}d{0,3}");
        check("{x} a{ b{} c{,}", r"\{x} a\{ b\{} c\{,}");
        check("(?=x)", "(?=x)");
        check(r"^\(?!x\)", r"^\(?!x\)");
    }

    #[test]
    fn look_ahead_at_the_beginning_becomes_conditions() {
        let expected = Translated {
            pattern: "^x$".to_owned(),
            ahead: vec![(false, "^(?:a|(b)[)])".to_owned()), (true, "^(?:.*c)".to_owned())],
        };
        assert_eq!(translate("^(?!a|(b)[)])(?=.*c)x$"), expected);
        assert!(translate("^(?!a)x|y").ahead.is_empty(), "the anchor is of the first alternative only");
        assert!(translate("x(?!a)").ahead.is_empty());
        assert!(translate("^(?!a").ahead.is_empty());
    }
}
