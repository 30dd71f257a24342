//! Regular expressions in SQL.
//!
//! Patterns come from outside, so the engine is one that cannot run away: a lazy DFA of limited size, which looks at each
//! byte of a text once and gives up when it would have to be built again and again.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use protocols::clearml::error::ApiError;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use rusqlite::{Connection, Error};

use super::{Expression, budget, python};

/// Bytes that a compiled pattern may take; a larger one is refused instead of eating memory and time.
const COMPILED_SIZE: usize = 1 << 20;

/// Bytes of the states that a search keeps, and how often they may be thrown away and built again.
const CACHE_SIZE: usize = 2 << 20;
const CACHE_CLEARS: usize = 16;

/// Characters of a pattern at most.
const PATTERN_LENGTH: usize = 4096;

/// A text of so many bytes is worth a look at the clock.
const LONG_TEXT: usize = 64 << 10;

/// The pattern is not a regular expression, or one that takes too much.
#[derive(Debug)]
struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

/// A compiled pattern.
#[derive(Debug)]
struct Pattern {
    dfa: DFA,
    cache: Mutex<Cache>,
}

impl Pattern {
    fn compile(pattern: &str) -> Result<Self, BadPattern> {
        let nfa =
            thompson::Config::new().utf8(false).nfa_size_limit(Some(COMPILED_SIZE)).which_captures(WhichCaptures::None);
        let cache = DFA::config().cache_capacity(CACHE_SIZE).minimum_cache_clear_count(Some(CACHE_CLEARS));
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().utf8(false))
            .thompson(nfa)
            .configure(cache)
            .build(pattern)
            .map_err(|error| BadPattern(first_cause(&error)))?;
        Ok(Self { cache: Mutex::new(dfa.create_cache()), dfa })
    }

    fn is_match(&self, text: &str) -> Result<bool, BadPattern> {
        if text.len() >= LONG_TEXT && budget::is_spent() {
            return Err(BadPattern("the search takes too long".to_owned()));
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        let found = self.dfa.try_search_fwd(&mut cache, &input);
        found.map(|found| found.is_some()).map_err(|_| BadPattern("the pattern is too complex".to_owned()))
    }
}

/// The innermost reason, which is the one that says something.
fn first_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text = causes.last().map(ToString::to_string).unwrap_or_default();
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}

/// Adds `matches(pattern, text)` to the SQL of a connection. NULL matches nothing.
pub(crate) fn register_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("matches", 2, flags, |context: &mut Context<'_>| {
        let refused = |error: BadPattern| Error::UserFunctionError(Box::new(error));
        let pattern = context.get_or_create_aux(0, |pattern| {
            Pattern::compile(pattern.as_str().map_err(|error| BadPattern(error.to_string()))?)
        })?;
        match context.get_raw(1).as_str_or_null().map_err(|error| Error::UserFunctionError(Box::new(error)))? {
            Some(text) => Ok(Some(pattern.is_match(text).map_err(refused)?)),
            None => Ok(None),
        }
    })
}

/// The condition that the text `column` holds a match of `pattern`.
///
/// # Errors
/// 400/21 when the pattern is not a regular expression here (look-around is one only as look-ahead after a leading `^`)
/// or is too large.
pub(super) fn condition(column: Expression, pattern: &str, ignore_case: bool) -> Result<Expression, ApiError> {
    let shown: String = pattern.chars().take(100).collect();
    let refused = |why: &dyn fmt::Display| ApiError::invalid_regex("", &[("pattern", &shown), ("reason", why)]);
    if pattern.chars().nth(PATTERN_LENGTH).is_some() {
        return Err(refused(&"the pattern is too long"));
    }
    // `^name$`, what clients send to find one object by its name, can use an index.
    if !ignore_case && let Some(text) = exact(pattern) {
        let mut values = column.values;
        values.push(Value::Text(text));
        return Ok(Expression::new(format!("{} = ?", column.sql), values));
    }
    let translated = python::translate(pattern);
    let mut parts = Vec::with_capacity(1 + translated.ahead.len());
    for (wanted, text) in [(true, translated.pattern)].into_iter().chain(translated.ahead) {
        let text = if ignore_case { format!("(?i){text}") } else { text };
        Pattern::compile(&text).map_err(|error| refused(&error))?;
        let values = [Value::Text(text)].into_iter().chain(column.values.iter().cloned()).collect();
        let matches = Expression::new(format!("matches(?, {})", column.sql), values);
        parts.push(if wanted { matches } else { matches.negate() });
    }
    Ok(Expression::join(parts, "AND"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn search(pattern: &str, text: &str) -> Result<bool, Error> {
        let connection = Connection::open_in_memory().unwrap();
        register_functions(&connection).unwrap();
        let column = Expression::new("?", vec![Value::Text(text.to_owned())]);
        let condition = condition(column, pattern, false).unwrap();
        let sql = format!("SELECT {}", condition.sql);
        connection.query_row(&sql, rusqlite::params_from_iter(condition.values), |row| row.get(0))
    }

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(search(pattern, text), Ok(expected), "{pattern} on {text}");
    }

    #[test]
    fn python_patterns_are_understood() {
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
        check("(?i)B", "abc", true);
        check(r"\é\_\~\#", "é_~#", true);
        check(r"\bsmall\b", "a small one", true);
        check(r"\bsmall\b", "smaller", false);
        check(r"(?P<word>\w+)-\d{,2}", "run-12", true);
        check("{name}", "a {name} here", true);
        check("[[]x", "[x", true);
        check("^(?!draft)", "final", true);
        check("^(?!draft)", "draft 1", false);
        check("^(?!.*(old|test)).*v[0-9]$", "model v1", true);
        check("^(?!.*(old|test)).*v[0-9]$", "old model v1", false);
        check("^(?=.*a)(?=.*b)", "b and a", true);
        check("^(?=.*a)(?=.*b)", "b", false);
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
        let long = "a".repeat(5000);
        for pattern in ["(", "a{2,1}", "(?=x)", "x(?<!y)", r"(a)\1", "*", &long, "((a{100}){100}){100}", r"\", "[z-a]"]
        {
            let error = condition(Expression::plain("x"), pattern, false).unwrap_err();
            assert!(error.is(400, 21), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_pattern_that_explodes_gives_up_or_ends() {
        // Each of them is slow on an engine that backtracks, or makes a new state for nearly every byte.
        let text = format!("{}c", "ab".repeat(200_000));
        for pattern in
            ["(a|b|ab)*d", "(a+)+d", "(a*)*d", "(x+x+)+y", "[ab]*a[ab]{200}c", "(.*a){12}d", r"(\w|\d|.)*\W\W"]
        {
            match search(pattern, &text) {
                Ok(_) => {}
                Err(error) => assert!(matches!(error, Error::UserFunctionError(_)), "{pattern}: {error}"),
            }
        }
    }
}
