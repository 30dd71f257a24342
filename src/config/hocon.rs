//! The one place that knows the HOCON parser.
//!
//! `hocon-rs` was chosen over `hocon` 0.9: the latter panics on text that is not ASCII and fails on `${?X}` of a
//! variable that is not set. Neither says where an error is, so this file finds the line.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dialect::{self, Strict, SyntaxError};

/// How deep files may include one another.
const MAX_INCLUDE_DEPTH: usize = 16;

/// A configuration text that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoconError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The text is no HOCON.
    #[error("{}, {error}", path.display())]
    Syntax { path: PathBuf, error: SyntaxError },
    /// The text is HOCON, but has no meaning: a variable that is not set, values that do not fit together.
    #[error("{}{}: {problem}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Meaning { path: PathBuf, line: Option<usize>, problem: String },
    /// Files that include themselves.
    #[error("{}, line {line}: more than {MAX_INCLUDE_DEPTH} files include one another", path.display())]
    IncludeDepth { path: PathBuf, line: usize },
    /// An include over the network.
    #[error("{}, line {line}: configuration is not included from a URL", path.display())]
    IncludeUrl { path: PathBuf, line: usize },
    /// The root is a list or a single value.
    #[error("{}: the configuration has no keys", path.display())]
    NoObject { path: PathBuf },
}

/// Reads a configuration file. Substitutions are looked up in the file, then in the process's environment.
pub(crate) fn parse_file(path: &Path) -> Result<Map<String, Value>, HoconError> {
    resolve(&expand_file(path, 0)?, path)
}

/// Reads a configuration text; `origin` names it in errors.
pub(crate) fn parse_text(text: &str, origin: &Path) -> Result<Map<String, Value>, HoconError> {
    resolve(&expand(text, origin, 0)?, origin)
}

/// A text with all its includes in place.
struct Expanded {
    text: String,
    /// Whether its lines are those of the file: nothing was included.
    lines_match: bool,
}

fn expand_file(path: &Path, depth: usize) -> Result<Expanded, HoconError> {
    let bytes = std::fs::read(path).map_err(|source| HoconError::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error());
        HoconError::Read { path: path.to_owned(), source }
    })?;
    expand(&text, path, depth)
}

/// The strict text with the contents of included files in their places.
fn expand(source: &str, path: &Path, depth: usize) -> Result<Expanded, HoconError> {
    let strict = dialect::strict(source).map_err(|error| HoconError::Syntax { path: path.to_owned(), error })?;
    check(&strict, path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut text = String::new();
    let mut taken = 0;
    for (offset, include) in &strict.includes {
        text.push_str(&strict.text[taken..*offset]);
        taken = *offset;
        if include.is_url {
            return Err(HoconError::IncludeUrl { path: path.to_owned(), line: include.line });
        }
        if depth == MAX_INCLUDE_DEPTH {
            return Err(HoconError::IncludeDepth { path: path.to_owned(), line: include.line });
        }
        let target = include.path(directory);
        // As upstream: a file that is not there is no error.
        if include.is_required || target.exists() {
            text.push_str(&without_braces(&expand_file(&target, depth + 1)?.text));
            text.push('\n');
        }
    }
    text.push_str(&strict.text[taken..]);
    Ok(Expanded { text, lines_match: strict.includes.is_empty() })
}

/// An included file may write its root object with or without braces.
fn without_braces(text: &str) -> String {
    let trimmed = text.trim();
    match trimmed.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(inner) if trimmed.starts_with('{') => inner.to_owned(),
        Some(_) | None => text.to_owned(),
    }
}

/// Refuses a text that the parser refuses for its grammar, with the line where it does.
fn check(strict: &Strict, path: &Path) -> Result<(), HoconError> {
    let Err(problem) = grammar(&strict.text) else { return Ok(()) };
    let lines: Vec<&str> = strict.text.lines().collect();
    // The greatest number of lines that are right by themselves, once what is open is closed.
    let right = (0..lines.len()).rev().find(|count| {
        let closers = count.checked_sub(1).map_or(Some(""), |last| strict.closers.get(last)?.as_deref());
        closers.is_some_and(|closers| grammar(&format!("{}\n{closers}", lines[..*count].join("\n"))).is_ok())
    });
    let error = SyntaxError { line: right.unwrap_or(0) + 1, column: 1, problem };
    Err(HoconError::Syntax { path: path.to_owned(), error })
}

fn grammar(text: &str) -> Result<(), String> {
    use hocon_rs::Error;
    match hocon_rs::Config::parse_str::<Value>(text, None) {
        Ok(_) => Ok(()),
        Err(
            error @ (Error::UnexpectedToken { .. }
            | Error::Eof
            | Error::InvalidEscape
            | Error::InvalidUtf8
            | Error::InvalidPathExpression(_)
            | Error::InvalidConcat(..)
            | Error::RecursionDepthExceeded { .. }),
        ) => Err(describe(&error)),
        // Everything else is about meaning and is judged when all files are in place.
        Err(_) => Ok(()),
    }
}

fn resolve(expanded: &Expanded, path: &Path) -> Result<Map<String, Value>, HoconError> {
    let text = expanded.text.as_str();
    match hocon_rs::Config::parse_str::<Value>(text, None) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(HoconError::NoObject { path: path.to_owned() })
        }
        Err(hocon_rs::Error::SubstitutionNotFound(name)) => {
            // The parser names it with its `${}`.
            let line = text.lines().position(|line| line.contains(&name)).map(|index| index + 1);
            let line = line.filter(|_| expanded.lines_match);
            let name = name.trim_start_matches("${").trim_end_matches('}');
            let problem = format!("`{name}` is neither a key of the file nor an environment variable");
            Err(HoconError::Meaning { path: path.to_owned(), line, problem })
        }
        Err(error) => Err(HoconError::Meaning { path: path.to_owned(), line: None, problem: describe(&error) }),
    }
}

/// The parser's errors in words for people.
fn describe(error: &hocon_rs::Error) -> String {
    if let hocon_rs::Error::UnexpectedToken { expected, found_beginning } = error {
        let found = char::from(*found_beginning);
        return match found {
            '\0' => format!("expected {expected}"),
            '\n' => format!("expected {expected}, found the end of the line"),
            found => format!("expected {expected}, found `{found}`"),
        };
    }
    let text = error.to_string();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let parsed = parse_text(text, Path::new("test.conf")).map(Value::Object).map_err(|error| error.to_string());
        assert_eq!(parsed, Ok(expected));
    }

    #[track_caller]
    fn fails(text: &str, expected: &str) {
        let error = parse_text(text, Path::new("test.conf")).expect_err("the text is wrong").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_generated_file_is_read() {
        check(
            "# ClearML\napi {\n    # Somebody's workspace\n    web_server: https://app.clear.ml/\n    api_server: https://api.clear.ml\n    \
             credentials {\n        \"access_key\" = \"K\"\n        secret_key = S+/=%x\n    }\n}\n\
             agent.venvs_dir = ~/.clearml/venvs-builds\nagent.package_manager.pip_version: [\">=20.3\", ]\n",
            json!({
                "api": {
                    "web_server": "https://app.clear.ml/", "api_server": "https://api.clear.ml",
                    "credentials": {"access_key": "K", "secret_key": "S+/=%x"}
                },
                "agent": {"venvs_dir": "~/.clearml/venvs-builds", "package_manager": {"pip_version": [">=20.3"]}}
            }),
        );
    }

    #[test]
    fn the_language_is_understood() {
        check("a=1\nb:{c:x y, d=null}\nb.e=true", json!({"a": 1, "b": {"c": "x y", "d": null, "e": true}}));
        check("p=/x\na=${p}/b\nc=${?NO_SUCH_VARIABLE}", json!({"p": "/x", "a": "/x/b"}));
        check("l=[1\n2]\nl += 3", json!({"l": [1, 2, 3]}));
        check("a { b : 1 }\na { c : 2 }", json!({"a": {"b": 1, "c": 2}}));
        check("a=\"\"\"x\n y\"\"\"", json!({"a": "x\n y"}));
        check("{ \"a\": [1, {\"b\": \"\u{fc}\\n\"}] }", json!({"a": [1, {"b": "\u{fc}\n"}]}));
        check("a = 10 days\nb = 10GB\r\n", json!({"a": "10 days", "b": "10GB"}));
        check("", json!({}));
    }

    #[test]
    fn variables_of_the_environment_are_substituted() {
        let path = std::env::var("PATH").unwrap();
        check("a = ${PATH}", json!({"a": path}));
    }

    #[test]
    fn errors_name_file_and_line() {
        fails("a = 1\nb = [1,\n", "test.conf, line 2, column 5: `[` is never closed");
        fails("a = 1\nb c = 2\nd = 3", "test.conf, line 2");
        fails("x = 1\na = ${NO_SUCH_VARIABLE}", "test.conf, line 2: `NO_SUCH_VARIABLE` is neither");
        fails("a = 1\nb {\n c..d = 2\n}\n", "test.conf, line 3");
        fails("include url(\"http://h/x\")", "line 1: configuration is not included from a URL");
    }

    #[test]
    fn files_include_files_beside_them() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("clearml.conf");
        std::fs::write(&main, "a { include \"more.conf\"\n c: 3 }\ninclude \"not-there.conf\"\n").unwrap();
        std::fs::write(directory.path().join("more.conf"), "{ b: http://h/x }\n").unwrap();
        assert_eq!(Value::Object(parse_file(&main).unwrap()), json!({"a": {"b": "http://h/x", "c": 3}}));
        std::fs::write(directory.path().join("more.conf"), "include \"clearml.conf\"\n").unwrap();
        assert!(matches!(parse_file(&main), Err(HoconError::IncludeDepth { .. })));
        std::fs::write(directory.path().join("more.conf"), "x = \"\n").unwrap();
        assert!(parse_file(&main).expect_err("broken").to_string().contains("more.conf, line 1, column 5"));
    }

    /// Texts of odd pieces in every order: an answer or an error, never a panic, never an endless loop.
    #[test]
    fn no_text_is_too_odd() {
        const PIECES: [&str; 28] = [
            "a",
            " ",
            "\n",
            "=",
            ":",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\"\"\"",
            "\\",
            "$",
            "${",
            "${?a}",
            "+=",
            "+",
            ",",
            "#",
            "//",
            "http://h",
            "include ",
            "include \"x\"",
            "\u{fc}",
            "a.b",
            "..",
            "1",
            "null",
        ];
        let mut state = 7_u64;
        for _ in 0..3000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let piece = usize::try_from(state >> 40).unwrap_or(0) % PIECES.len();
                text.push_str(PIECES[piece]);
            }
            let _ = parse_text(&text, Path::new("odd.conf"));
        }
    }
}
