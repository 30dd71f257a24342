//! Regular expressions: in SQL, and as clients write them (Python's dialect).

use std::fmt;

use protocols::clearml::error::ApiError;
use regex::{Regex, RegexBuilder};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use rusqlite::{Connection, Error};

use super::Expression;

/// Bytes that a compiled pattern may take; a larger one is refused instead of eating memory and time.
const COMPILED_SIZE: usize = 1 << 20;

/// Characters of a pattern at most.
const PATTERN_LENGTH: usize = 4096;

/// The pattern is not a regular expression, or a too large one.
#[derive(Debug)]
struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

/// Adds `matches(pattern, text)` to the SQL of a connection. NULL matches nothing.
pub(crate) fn register_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("matches", 2, flags, |context: &mut Context<'_>| {
        let regex = context.get_or_create_aux(0, |pattern| {
            compile(pattern.as_str().map_err(|error| BadPattern(error.to_string()))?)
        })?;
        match context.get_raw(1).as_str_or_null().map_err(|error| Error::UserFunctionError(Box::new(error)))? {
            Some(text) => Ok(Some(regex.is_match(text))),
            None => Ok(None),
        }
    })
}

fn compile(pattern: &str) -> Result<Regex, BadPattern> {
    RegexBuilder::new(pattern).size_limit(COMPILED_SIZE).build().map_err(|error| BadPattern(first_line(&error)))
}

fn first_line(error: &regex::Error) -> String {
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return "the pattern is too large".to_owned();
    }
    error.to_string().lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}

/// The condition that the text `column` holds a match of `pattern`.
///
/// # Errors
/// 400/21 when the pattern is not a regular expression here (look-around is not) or is too large.
pub(super) fn condition(column: Expression, pattern: &str, ignore_case: bool) -> Result<Expression, ApiError> {
    let refused = |why: &dyn fmt::Display| ApiError::invalid_regex("", &[("pattern", &pattern), ("reason", why)]);
    if pattern.chars().count() > PATTERN_LENGTH {
        return Err(refused(&"the pattern is too long"));
    }
    // `^name$`, what clients send to find one object by its name, can use an index.
    if !ignore_case && let Some(text) = exact(pattern) {
        let mut values = column.values;
        values.push(Value::Text(text));
        return Ok(Expression::new(format!("{} = ?", column.sql), values));
    }
    let mut translated = translate(pattern);
    if ignore_case {
        translated.insert_str(0, "(?i)");
    }
    compile(&translated).map_err(|error| refused(&error))?;
    let mut values = vec![Value::Text(translated)];
    values.extend(column.values);
    Ok(Expression::new(format!("matches(?, {})", column.sql), values))
}

/// The one text that the pattern matches, if it is of the form `^text$`.
fn exact(pattern: &str) -> Option<String> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_alphanumeric() => return None,
                escaped => text.push(escaped),
            },
            '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | '[' | ']' | '|' | '(' | ')' => return None,
            plain => text.push(plain),
        }
    }
    Some(text)
}

/// From Python's dialect to ours: any escaped character that is no letter or digit means itself, `\Z` is the end.
fn translate(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('Z') => text.push_str("\\z"),
            Some(escaped) if escaped.is_ascii_alphanumeric() => text.extend(['\\', escaped]),
            Some(escaped) => text.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4]))),
            None => text.push('\\'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        let connection = Connection::open_in_memory().unwrap();
        register_functions(&connection).unwrap();
        let column = Expression::new("?", vec![Value::Text(text.to_owned())]);
        let condition = condition(column, pattern, false).unwrap();
        let found: bool = connection
            .query_row(&format!("SELECT {}", condition.sql), rusqlite::params_from_iter(condition.values), |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(found, expected, "{pattern} on {text}");
    }

    #[test]
    fn python_escapes_are_understood() {
        check(r"^my\-queue$", "my-queue", true);
        check(r"a\ b", "xa by", true);
        check(r"^a\/b(| #\d+)$", "a/b #12", true);
        check(r"^\.pipelines\<x\>$", ".pipelines<x>", true);
        check(r"\<x\>", "a<x>", true);
        check(r"end\Z", "the end", true);
        check(r"^a.c$", "abc", true);
        check(r"^a\.c$", "abc", false);
        check("b", "abc", true);
        check("B", "abc", false);
        check(r"\é\_\~\#", "é_~#", true);
    }

    #[test]
    fn exact_patterns_need_no_regular_expression() {
        assert_eq!(exact(r"^a\-b\ c$"), Some("a-b c".to_owned()));
        assert_eq!(exact("^a.b$"), None);
        assert_eq!(exact(r"^a\d$"), None);
        assert_eq!(exact(r"^a\$"), None, "the dollar sign is escaped");
        assert_eq!(exact("a$"), None);
    }

    #[test]
    fn bad_and_huge_patterns_are_refused() {
        for pattern in ["(", "a{2,1}", "(?=x)", "*", &"a".repeat(5000), "((a{100}){100}){100}"] {
            let error = condition(Expression::plain("x"), pattern, false).unwrap_err();
            assert!(error.is(400, 21), "{pattern}: {error}");
        }
    }
}
