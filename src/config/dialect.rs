//! Makes the HOCON that people write in `clearml.conf` acceptable to a strict HOCON parser.
//!
//! ClearML's own parser takes unquoted values that the HOCON specification forbids, most of all
//! `web_server: https://app.clear.ml` as every generated file has it. This pass quotes such values, expands
//! `include`, and finds what the parser reports without a position, or not at all: unclosed strings and brackets.
//! It keeps every line on its line.

use std::path::{Path, PathBuf};

/// Where a text breaks the grammar, and how. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub(crate) struct SyntaxError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) problem: String,
}

/// A text that a strict parser takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strict {
    /// The text, with the lines of the original.
    pub(crate) text: String,
    /// For each line, the brackets that close what is open after it; `None` within a string of several lines.
    pub(crate) closers: Vec<Option<String>>,
    /// Files to include: the byte offset in `text` where their content belongs, and what was written.
    pub(crate) includes: Vec<(usize, Include)>,
}

/// An `include` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Include {
    /// As written.
    pub(crate) target: String,
    /// Whether the target is a URL.
    pub(crate) is_url: bool,
    /// Whether its absence is an error.
    pub(crate) is_required: bool,
    /// Where it stands.
    pub(crate) line: usize,
}

impl Include {
    /// The file that is meant, seen from the directory of the including file.
    pub(crate) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(&self.target)
    }
}

/// Rewrites `source` for a strict parser.
pub(crate) fn strict(source: &str) -> Result<Strict, SyntaxError> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut scan = Scan::new(source);
    scan.document()?;
    Ok(scan.finish())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Value,
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    open: Vec<(char, usize, usize)>,
    place: Place,
    /// Whether the present value or key has begun.
    begun: bool,
    strict: Strict,
}

impl<'a> Scan<'a> {
    fn new(source: &'a str) -> Self {
        Self {
            source,
            at: 0,
            line: 1,
            line_start: 0,
            open: Vec::new(),
            place: Place::Key,
            begun: false,
            strict: Strict::default(),
        }
    }

    fn finish(mut self) -> Strict {
        self.end_line(true);
        self.strict
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn copy(&mut self, bytes: usize) {
        let piece = &self.source[self.at..self.at + bytes];
        self.strict.text.push_str(piece);
        self.at += bytes;
    }

    fn end_line(&mut self, outside_string: bool) {
        let closers = self.open.iter().rev().map(|(bracket, ..)| if *bracket == '{' { '}' } else { ']' }).collect();
        self.strict.closers.push(outside_string.then_some(closers));
    }

    fn newline(&mut self, outside_string: bool) {
        self.end_line(outside_string);
        self.line += 1;
        self.line_start = self.at;
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> SyntaxError {
        let column = self.source[self.line_start.min(at)..at].chars().count() + 1;
        SyntaxError { line: self.line, column, problem: problem.into() }
    }

    fn in_array(&self) -> bool {
        self.open.last().is_some_and(|(bracket, ..)| *bracket == '[')
    }

    fn next_element(&mut self) {
        self.place = if self.in_array() { Place::Value } else { Place::Key };
        self.begun = false;
    }

    fn document(&mut self) -> Result<(), SyntaxError> {
        while let Some(character) = self.peek() {
            let before = self.at;
            match character {
                '\n' => self.end_of_line(before)?,
                '#' => self.comment(),
                '/' if self.rest().starts_with("//") => self.comment(),
                character if character.is_whitespace() => self.copy(character.len_utf8()),
                ',' => {
                    self.copy(1);
                    self.next_element();
                }
                '{' | '[' => self.open(character)?,
                '}' | ']' => self.close(character)?,
                '"' => self.string()?,
                '$' if self.rest().starts_with("${") => self.substitution()?,
                ':' | '=' if self.place == Place::Key => self.separator(1),
                '+' if self.place == Place::Key && self.rest().starts_with("+=") => self.separator(2),
                _ if self.place == Place::Key => self.key(),
                _ => self.unquoted(),
            }
        }
        match self.open.last() {
            None => Ok(()),
            Some((bracket, line, column)) => {
                Err(SyntaxError { line: *line, column: *column, problem: format!("`{bracket}` is never closed") })
            }
        }
    }

    fn end_of_line(&mut self, at: usize) -> Result<(), SyntaxError> {
        if self.place == Place::Key && self.begun {
            return Err(self.error(at, "a key without a value: expected `:`, `=` or `{`"));
        }
        self.copy(1);
        self.newline(true);
        // A value may begin on the line after its separator.
        if self.place == Place::Value && (self.begun || self.in_array()) {
            self.next_element();
        }
        Ok(())
    }

    fn comment(&mut self) {
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.at += length;
    }

    fn separator(&mut self, length: usize) {
        self.copy(length);
        self.place = Place::Value;
        self.begun = false;
    }

    fn open(&mut self, bracket: char) -> Result<(), SyntaxError> {
        if bracket == '[' && self.place == Place::Key {
            return Err(self.error(self.at, "`[` where a key is expected"));
        }
        let place = self.error(self.at, "");
        self.open.push((bracket, place.line, place.column));
        self.copy(1);
        self.next_element();
        Ok(())
    }

    fn close(&mut self, bracket: char) -> Result<(), SyntaxError> {
        let Some((open, line, _)) = self.open.last() else {
            return Err(self.error(self.at, format!("`{bracket}` closes nothing")));
        };
        let expected = if *open == '{' { '}' } else { ']' };
        if expected != bracket {
            let problem = format!("`{bracket}` where `{expected}` has to close the `{open}` of line {line}");
            return Err(self.error(self.at, problem));
        }
        if bracket == '}' && self.place == Place::Key && self.begun {
            return Err(self.error(self.at, "a key without a value: expected `:`, `=` or `{`"));
        }
        self.open.pop();
        self.copy(1);
        // An object or list may be followed by another that is merged with it.
        self.place = Place::Value;
        self.begun = true;
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        self.begun = true;
        if self.rest().starts_with("\"\"\"") {
            let Some(length) = self.rest()[3..].find("\"\"\"") else {
                return Err(self.error(self.at, "`\"\"\"` is never closed"));
            };
            // Quotes that directly precede the closing ones belong to the text.
            let end = self.at + length + 6;
            let extra = self.source[end..].bytes().take_while(|byte| *byte == b'"').count();
            while self.at < end + extra {
                let upto = self.rest().find('\n').map_or(usize::MAX, |length| length + 1);
                self.copy(upto.min(end + extra - self.at));
                if self.strict.text.ends_with('\n') {
                    self.newline(false);
                }
            }
            return Ok(());
        }
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    self.copy(offset + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.error(self.at, "a string without its closing quote"))
    }

    fn substitution(&mut self) -> Result<(), SyntaxError> {
        self.begun = true;
        let line = self.rest().lines().next().unwrap_or_default();
        let Some(length) = line.find('}') else {
            return Err(self.error(self.at, "`${` is never closed"));
        };
        self.copy(length + 1);
        Ok(())
    }

    fn key(&mut self) {
        let is_first = !self.begun;
        self.begun = true;
        if is_first && self.include() {
            return;
        }
        let ends = |character: char| ":={}\"\n,#".contains(character) || character.is_whitespace();
        let length = self.rest().find(ends).unwrap_or(self.rest().len());
        // `key += value`, written without a space.
        let length = if self.rest()[..length].ends_with('+') && length > 1 { length - 1 } else { length.max(1) };
        self.copy(length);
    }

    /// Takes an `include` statement out of the text.
    fn include(&mut self) -> bool {
        let line = self.rest().lines().next().unwrap_or_default();
        let Some(mut rest) = line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t', '"'])) else {
            return false;
        };
        let (mut is_required, mut is_url) = (false, false);
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix("required(") {
            (is_required, rest) = (true, inner.trim_start());
        }
        for (form, is_url_form) in [("file(", false), ("url(", true), ("classpath(", false)] {
            if let Some(inner) = rest.strip_prefix(form) {
                (is_url, rest) = (is_url_form, inner.trim_start());
            }
        }
        let Some((target, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) else {
            return false;
        };
        let after = after.trim_start_matches([')', ' ', '\t']);
        let include = Include { target: target.to_owned(), is_url, is_required, line: self.line };
        self.strict.includes.push((self.strict.text.len(), include));
        self.at += line.len() - after.len();
        self.next_element();
        true
    }

    fn unquoted(&mut self) {
        self.begun = true;
        let mut token = String::new();
        let mut needs_quotes = false;
        let mut characters = self.rest().char_indices().peekable();
        let mut length = self.rest().len();
        while let Some((offset, character)) = characters.next() {
            let rest = &self.rest()[offset..];
            let is_comment = rest.starts_with("//") && !token.ends_with(':');
            if character.is_whitespace() || ",{}[]\"#".contains(character) || rest.starts_with("${") || is_comment {
                length = offset;
                break;
            }
            match (character, characters.peek()) {
                ('\\', Some((_, next))) if "=:#,+?!@*&^`\\\"{}[]$ ".contains(*next) => {
                    token.push(*next);
                    needs_quotes = true;
                    characters.next();
                }
                _ => {
                    needs_quotes |= ":=+`^?!@*&\\$".contains(character);
                    // A URL's slashes must not be taken for a comment.
                    token.push(character);
                }
            }
        }
        if needs_quotes {
            self.strict.text.push_str(&serde_json::Value::String(token).to_string());
        } else {
            self.strict.text.push_str(&token);
        }
        self.at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(strict(source).map(|strict| strict.text), Ok(expected.to_owned()));
    }

    #[track_caller]
    fn fails(source: &str, line: usize, column: usize, problem: &str) {
        let error = strict(source).expect_err("the text is wrong");
        assert_eq!((error.line, error.column), (line, column), "{error}");
        assert!(error.problem.contains(problem), "{error}");
    }

    #[test]
    fn urls_and_other_odd_values_are_quoted() {
        check("a: http://h:8008 # c\nb=1", "a: \"http://h:8008\" \nb=1");
        check("a { b = x@y=z, c = [>=1?, d] }", "a { b = \"x@y=z\", c = [\">=1?\", d] }");
        check("a = x\\=y", "a = \"x=y\"");
        check("a = c:\\dir\\new", "a = \"c:\\\\dir\\\\new\"");
    }

    #[test]
    fn what_the_specification_allows_stays() {
        for text in
            ["a=${X}/b", "a += 1", "a+=1", "\"a.b\" : \"x # y\"", "a=\"\"\"x\n\" y\"\"\"\nb=1", "a =\n {b:1} {c:2}"]
        {
            check(text, text);
        }
    }

    #[test]
    fn comments_go_and_lines_stay() {
        check("# x\na = 1 // y\n// z\n", "\na = 1 \n\n");
    }

    #[test]
    fn an_include_leaves_its_place() {
        let strict = strict("a {\n include required(file(\"x.conf\"))\n}\nincludes = 1\n").unwrap();
        assert_eq!(strict.text, "a {\n \n}\nincludes = 1\n");
        let include = Include { target: "x.conf".to_owned(), is_url: false, is_required: true, line: 2 };
        assert_eq!(strict.includes, [(5, include)]);
    }

    #[test]
    fn errors_say_where() {
        fails("a = 1\nb = \"x\nc = 2", 2, 5, "closing quote");
        fails("a {\n b = [1,\n 2\n}", 4, 1, "`}` where `]` has to close the `[` of line 2");
        fails("a = 1 }", 1, 7, "closes nothing");
        fails("a {\n b = 1\n", 1, 3, "never closed");
        fails("x = 1\n  nonsense\n", 2, 11, "without a value");
        fails("a = ${X", 1, 5, "never closed");
        fails("a=\"\"\"x\n\n", 1, 3, "never closed");
    }
}
