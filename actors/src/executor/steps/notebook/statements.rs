//! A cell of code, taken apart into what Python takes for one line each, however many lines of text that is. Pure.

/// A statement, or the beginning of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement<'c> {
    /// Its lines, without the last line end.
    pub(super) text: &'c str,
    /// Whether it is one that only a notebook understands, as far as its first letter says it.
    pub(super) is_foreign: bool,
}

/// Takes a cell apart.
pub(super) fn statements(cell: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut rest = cell;
    while !rest.is_empty() {
        let is_foreign = is_foreign(rest.lines().next().unwrap_or_default());
        let mut scan = Scan::default();
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            end += line.len();
            let is_open = if is_foreign { line.trim_end().ends_with('\\') } else { scan.line(line) };
            if !is_open {
                break;
            }
        }
        let (text, after) = rest.split_at(end);
        found.push(Statement { text: text.trim_end_matches(['\n', '\r']), is_foreign });
        rest = after;
    }
    found
}

/// Whether a line cannot be the first one of a statement of Python.
fn is_foreign(line: &str) -> bool {
    let line = line.trim();
    let is_magic = line.strip_prefix('%').is_some_and(|rest| rest.starts_with(|letter: char| letter.is_alphabetic()));
    is_magic || line.starts_with(['!', '?']) || is_question(line) || assigned(line).is_some()
}

/// Whether a line asks what something is: `x?`, `x.y??`.
pub(super) fn is_question(line: &str) -> bool {
    let name = line.trim_end_matches('?');
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '*' | '%');
    name.len() < line.len() && !name.is_empty() && name.chars().all(is_part)
}

/// What a line gives a name to that only a notebook understands: `x = ` and `!ls` of `x = !ls`.
pub(super) fn assigned(line: &str) -> Option<(&str, &str)> {
    let (target, value) = line.split_at(line.find('=')? + 1);
    let (space, value) = value.split_at(value.len() - value.trim_start().len());
    let is_magic = value.strip_prefix('%').is_some_and(|rest| rest.starts_with(|letter: char| letter.is_alphabetic()));
    let is_part = |letter: char| letter.is_alphanumeric() || " _.,*[]()'\"".contains(letter);
    let is_target = target[..target.len() - 1].chars().all(is_part) && target.trim_start().len() > 1;
    (is_target && (is_magic || value.starts_with('!'))).then(|| (&line[..target.len() + space.len()], value))
}

/// What is open at the end of a line of Python.
#[derive(Debug, Default)]
struct Scan {
    /// The quotes of a text.
    quotes: Option<&'static str>,
    /// How many brackets.
    depth: usize,
}

impl Scan {
    /// Reads a line; says whether the next one goes on with it.
    fn line(&mut self, line: &str) -> bool {
        let mut rest = line.trim_end_matches(['\n', '\r']);
        let mut is_continued = false;
        while let Some(letter) = rest.chars().next() {
            let mut length = letter.len_utf8();
            is_continued = letter == '\\' && rest.len() == 1;
            match (self.quotes, letter) {
                (_, '\\') => length += rest[1..].chars().next().map_or(0, char::len_utf8),
                (Some(quotes), _) if rest.starts_with(quotes) => {
                    length = quotes.len();
                    self.quotes = None;
                }
                (Some(_), _) => {}
                (None, '#') => break,
                (None, '(' | '[' | '{') => self.depth += 1,
                (None, ')' | ']' | '}') => self.depth = self.depth.saturating_sub(1),
                (None, _) => {
                    self.quotes = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quotes| rest.starts_with(quotes));
                    length = self.quotes.map_or(length, str::len);
                }
            }
            rest = &rest[length..];
        }
        // A text in single quotes ends with its line.
        self.quotes = self.quotes.filter(|quotes| quotes.len() == 3 || is_continued);
        is_continued || self.depth > 0 || self.quotes.is_some()
    }
}

/// Whether a statement of these awaits something outside of all functions, which only a notebook may.
pub(super) fn awaits<'s>(statements: impl Iterator<Item = &'s str>) -> bool {
    let mut functions: Vec<usize> = Vec::new();
    for statement in statements {
        let bare = statement.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let depth = statement.len() - bare.len();
        functions.retain(|outer| *outer < depth);
        let is_function = bare.starts_with("def ") || bare.starts_with("async def ");
        if functions.is_empty() && !is_function && has_await(bare) {
            return true;
        }
        if is_function {
            functions.push(depth);
        }
    }
    false
}

/// Whether one of the words is there that only asynchronous code may have, in a text or a comment perhaps.
fn has_await(statement: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words: Vec<&str> = statement.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()).collect();
    words.contains(&"await") || words.windows(2).any(|pair| matches!(pair, ["async", "for" | "with"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cell: &str, expected: &[&str]) {
        assert_eq!(statements(cell).iter().map(|statement| statement.text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_statement_may_have_many_lines() {
        check("a = 1\nb\n", &["a = 1", "b"]);
        check("s = '''\n!x\n%y\n'''\n!x", &["s = '''\n!x\n%y\n'''", "!x"]);
        check("s = r\"\"\"a\\\"\"\"\n!x\"\"\" # '''\nb", &["s = r\"\"\"a\\\"\"\"\n!x\"\"\" # '''", "b"]);
        check("f(7\n %x, '(')\nb", &["f(7\n %x, '(')", "b"]);
        check("a = 1 + \\\n  2\nb", &["a = 1 + \\\n  2", "b"]);
        check("a = 'it\\\n!x'\nb", &["a = 'it\\\n!x'", "b"]);
        check("a = '(\nb", &["a = '(", "b"]);
        check("!ls \\\n  -l ' \\\n (\nb", &["!ls \\\n  -l ' \\\n (", "b"]);
        check("a = '#' # (\r\nb\r\n\n", &["a = '#' # (", "b", ""]);
        check("s = '''é", &["s = '''é"]);
    }

    #[test]
    fn what_only_a_notebook_understands_is_told() {
        for line in ["!ls", "  %pip x", "x = !ls", "x, y[0] = %time f()", "?x", "x.y??", "%time?", "d['a']=!ls"] {
            assert!(statements(line)[0].is_foreign, "{line}");
        }
        for line in ["x = 1", "% 3", "x == y != z", "s = 'a = !b'", "x = y = 'a?'", "# x?", "f(a = 1, b='!')", "x != y"]
        {
            assert!(!statements(line)[0].is_foreign, "{line}");
        }
    }

    #[test]
    fn what_awaits_outside_of_functions_is_told() {
        let awaits = |cell: &str| awaits(statements(cell).iter().map(|statement| statement.text));
        for cell in [
            "await f()",
            "x = [\n await y]",
            "for a in b:\n    await a",
            "async with a: pass",
            "def f(): pass\nawait f()",
        ] {
            assert!(awaits(cell), "{cell}");
        }
        for cell in [
            "async def f():\n    await g()\n    if x:\n\n        await h()\n",
            "awaited = 1",
            "async def f(): await g()",
        ] {
            assert!(!awaits(cell), "{cell}");
        }
    }
}
