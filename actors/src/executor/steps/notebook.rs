//! Notebooks, turned into programs: their cells of code, one after another.
//!
//! No Jupyter is needed for it. What only a notebook understands becomes what a program can do (`!command`, `%pip`,
//! `%%bash`), or is left out, which is said.

mod statements;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::statements::{assigned, awaits, is_question, statements};

/// Stands first: what notebooks have without importing it.
const PRELUDE: &str = "try:\n    from IPython.display import display\nexcept ImportError:\n    display = print\n";

/// What stands in for the shell of a notebook, and for its `%pip`.
const SHELL: &str = include_str!("notebook/shell.py");
/// Runs a cell that awaits something by itself.
const AWAITING: &str = include_str!("notebook/awaiting.py");

/// A notebook cannot be turned into a program.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotebookError {
    #[error("cannot read the notebook {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{name:?} is no notebook: {why}")]
    Format { name: String, why: String },
    #[error("the notebook {name:?} is written in {language}, not in Python")]
    Language { name: String, language: String },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A program made of a notebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Converted {
    /// Its file, relative to the folder.
    pub(super) name: String,
    /// How many cells of code there were.
    pub(super) cells: usize,
    /// What was left out.
    pub(super) left_out: Vec<String>,
}

/// Writes the program beside the notebook, as `a.ipynb.py` for `a.ipynb`: as `a.py` it would be found by what imports a
/// module `a`. One of that name is replaced, and a link is not followed.
pub(super) fn convert(folder: &Path, name: &str) -> Result<Converted, NotebookError> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).map_err(|source| NotebookError::Read { path: path.clone(), source })?;
    let (program, cells, left_out) = program(&text, name)?;
    let target = format!("{name}.py");
    let path = folder.join(&target);
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    let removed = if is_link { std::fs::remove_file(&path) } else { Ok(()) };
    let written = removed.and_then(|()| std::fs::write(&path, program));
    written.map_err(|source| NotebookError::Write { path, source })?;
    Ok(Converted { name: target, cells, left_out: left_out.into_iter().collect() })
}

fn program(text: &str, name: &str) -> Result<(String, usize, BTreeSet<String>), NotebookError> {
    let wrong = |why: String| NotebookError::Format { name: name.to_owned(), why };
    let notebook: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let languages = ["/metadata/language_info/name", "/metadata/kernelspec/language"];
    let language = languages.iter().find_map(|place| notebook.pointer(place)?.as_str());
    if let Some(language) = language.filter(|language| !language.eq_ignore_ascii_case("python")) {
        return Err(NotebookError::Language { name: name.to_owned(), language: language.to_owned() });
    }
    let cells = cells(&notebook).ok_or_else(|| wrong("it has no cells".to_owned()))?;
    let mut future = String::new();
    let mut body = String::new();
    let mut left_out = BTreeSet::new();
    for (number, cell) in (1..).zip(&cells) {
        let made = cell_statements(cell, &mut left_out);
        let (ahead, made): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|statement| statement.starts_with("from __future__ import"));
        future.extend(ahead.iter().map(|statement| format!("{statement}\n")));
        body.push_str(&format!("\n# cell {number}\n"));
        if awaits(made.iter().map(String::as_str)) {
            let cell = literal(&format!("<cell {number}>"));
            body.push_str(&format!("__notebook_await__({}, {cell}, globals())\n", literal(&made.join("\n"))));
        } else {
            body.extend(made.iter().map(|statement| format!("{statement}\n")));
        }
    }
    let is_needed = |functions: &&str| {
        let mut names = functions.lines().filter_map(|line| line.strip_prefix("def ")?.split('(').next());
        names.any(|name| body.contains(name))
    };
    let functions: String = [SHELL, AWAITING].into_iter().filter(is_needed).collect();
    Ok((format!("{future}{PRELUDE}{functions}{body}"), cells.len(), left_out))
}

/// The texts of all cells of code, of every version of the format.
fn cells(notebook: &Value) -> Option<Vec<String>> {
    let of = |holder: &Value| holder.get("cells").and_then(Value::as_array).cloned();
    let sheets = || notebook.get("worksheets").and_then(Value::as_array);
    let all = of(notebook).or_else(|| Some(sheets()?.iter().filter_map(of).flatten().collect()))?;
    let code = all.iter().filter(|cell| cell["cell_type"] == "code");
    Some(code.map(|cell| cell.get("source").or_else(|| cell.get("input")).map(joined).unwrap_or_default()).collect())
}

/// A text, or a list of its lines.
fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn cell_statements(cell: &str, left_out: &mut BTreeSet<String>) -> Vec<String> {
    let first = cell.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let Some(magic) = first.strip_prefix("%%") else { return plain_statements(cell, left_out) };
    let body = cell.split_once(first).map_or("", |(_, body)| body.trim_start_matches('\n'));
    let (name, rest) = magic.split_once(char::is_whitespace).unwrap_or((magic, ""));
    match name {
        "time" | "capture" | "prun" => plain_statements(body, left_out),
        // Behind its options stands what is done before.
        "timeit" => plain_statements(&format!("{}\n{body}", without_options(rest)), left_out),
        "bash" | "sh" | "script" => {
            let command = literal(&format!("bash -c {}", quoted_for_shell(body)));
            vec![format!("__import__('subprocess').run({command}, shell=True)")]
        }
        other => {
            left_out.insert(format!("%%{other}"));
            vec![format!("# %%{other}: left out")]
        }
    }
}

fn plain_statements(cell: &str, left_out: &mut BTreeSet<String>) -> Vec<String> {
    let made = statements(cell).into_iter().map(|statement| match statement.is_foreign {
        true => foreign(statement.text, left_out),
        false => statement.text.to_owned(),
    });
    made.collect()
}

/// What `!command`, `%magic` and `x?` do, at the same depth, or nothing.
fn foreign(statement: &str, left_out: &mut BTreeSet<String>) -> String {
    let bare = statement.trim();
    let depth = &statement[..statement.len() - statement.trim_start().len()];
    let mut leave_out = |what: &str| {
        left_out.insert(what.to_owned());
        format!("# {}: left out", bare.lines().collect::<Vec<_>>().join(" "))
    };
    if bare.starts_with('?') || is_question(bare) {
        return format!("{depth}pass  {}", leave_out("?"));
    }
    let (target, value) = assigned(bare).unwrap_or(("", bare));
    if let Some(command) = value.strip_prefix('!') {
        let function = if target.is_empty() { "shell" } else { "lines" };
        return format!("{depth}{target}{}", call(function, command.trim_start_matches('!')));
    }
    let magic = value.trim_start_matches('%').replace("\\\n", " ");
    let (name, rest) = magic.split_once(char::is_whitespace).unwrap_or((&magic, ""));
    let expression = if name == "timeit" { without_options(rest) } else { rest.trim() };
    match name {
        "pip" => format!("{depth}{target}{}", call("pip", rest)),
        "time" | "timeit" if !expression.is_empty() => format!("{depth}{target}{expression}"),
        _ => {
            let nothing = if target.is_empty() { "pass" } else { "None" };
            format!("{depth}{target}{nothing}  {}", leave_out(&format!("%{name}")))
        }
    }
}

/// What `%timeit` is about, behind its options.
fn without_options(text: &str) -> &str {
    let text = text.trim();
    let Some(option) = text.split_whitespace().next().filter(|word| word.starts_with('-')) else { return text };
    let rest = text[option.len()..].trim_start();
    match option.as_bytes().get(1) {
        Some(b'n' | b'r' | b'p') if option.len() == 2 => {
            without_options(rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest))
        }
        Some(b'n' | b'r' | b'p') if option[2..].bytes().all(|byte| byte.is_ascii_digit()) => without_options(rest),
        Some(b't' | b'c' | b'q' | b'o' | b'v') if option.len() == 2 => without_options(rest),
        Some(_) | None => text,
    }
}

/// Calls a function of the prelude with a text, in which names of the program may stand.
fn call(function: &str, text: &str) -> String {
    format!("__notebook_{function}__({}, {{**globals(), **locals()}})", literal(text))
}

/// A text of JSON is one of Python, too.
fn literal(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn quoted_for_shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(cells: &Value) -> (String, Vec<String>) {
        let text = json!({ "cells": cells, "metadata": {} }).to_string();
        let (program, _, left_out) = program(&text, "n.ipynb").unwrap();
        let body = program.split("# cell").skip(1).map(|cell| cell.split_once('\n').unwrap().1).collect();
        (body, left_out.into_iter().collect())
    }

    fn code(source: &Value) -> Value {
        json!({ "cell_type": "code", "source": source })
    }

    #[test]
    fn cells_of_code_follow_each_other() {
        let cells = json!([code(&json!(["a = 1\n", "b = 2"])), { "cell_type": "markdown", "source": "# no" }, code(&json!("c = 3\n"))]);
        assert_eq!(made(&cells).0, "a = 1\nb = 2\n\nc = 3\n");
        let old = json!({ "worksheets": [{ "cells": [{ "cell_type": "code", "input": ["x = 1"] }] }] }).to_string();
        assert!(program(&old, "n").unwrap().0.ends_with("x = 1\n"));
    }

    #[test]
    fn what_only_a_notebook_understands() {
        let check =
            |line: &str, expected: &str| assert_eq!(made(&json!([code(&json!(line))])).0, format!("{expected}\n"));
        let names = "{**globals(), **locals()}";
        check("!ls -l \"x\"", &format!("__notebook_shell__(\"ls -l \\\"x\\\"\", {names})"));
        check("!ls \\\n -l", &format!("__notebook_shell__(\"ls \\\\\\n -l\", {names})"));
        check("x = !ls", &format!("x = __notebook_lines__(\"ls\", {names})"));
        check("if x:\n    %pip install six", &format!("if x:\n    __notebook_pip__(\"install six\", {names})"));
        check("%time f(1)\ny = 7 % x", "f(1)\ny = 7 % x");
        check("%timeit -n1 -r 2 -q 1+1\n%timeit -x", "1+1\n-x");
        check("x = %time f(1)", "x = f(1)");
        check("s = '''\n!echo x\n%not magic\n'''", "s = '''\n!echo x\n%not magic\n'''");
        check("%%timeit -n 1 x = 1\nx + 1", "x = 1\nx + 1");
        check("%%time\nz = 1", "z = 1");
        check("await f()\nx = 1", "__notebook_await__(\"await f()\\nx = 1\", \"<cell 1>\", globals())");
        check("%%bash\necho 'a'\n", "__import__('subprocess').run(\"bash -c 'echo '\\\\''a'\\\\''\\n'\", shell=True)");
    }

    #[test]
    fn what_is_left_out_is_said() {
        let cells =
            json!([code(&json!("%matplotlib inline\nif x:\n  ?y\nx??\nx = %who")), code(&json!("%%html\n<b>\n"))]);
        let (body, left_out) = made(&cells);
        let expected = "pass  # %matplotlib inline: left out\nif x:\n  pass  # ?y: left out\npass  # x??: left out\n\
            x = None  # x = %who: left out\n\n# %%html: left out\n";
        assert_eq!(body, expected);
        assert_eq!(left_out, ["%%html", "%matplotlib", "%who", "?"]);
    }

    #[test]
    fn imports_of_the_future_come_first() {
        let text = json!({ "cells": [code(&json!("x = 1\nfrom __future__ import annotations"))] }).to_string();
        assert!(program(&text, "n").unwrap().0.starts_with("from __future__ import annotations\ntry:"));
    }

    #[test]
    fn other_files_and_languages_are_named() {
        let message = |text: &str| program(text, "n.ipynb").unwrap_err().to_string();
        assert!(message("print(1)").contains("is no notebook"));
        assert!(message("{}").contains("it has no cells"));
        assert!(message(r#"{"cells": [], "metadata": {"language_info": {"name": "R"}}}"#).contains("written in R"));
    }

    #[test]
    fn the_program_is_no_module() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.ipynb"), json!({ "cells": [code(&json!("x = 1"))] }).to_string()).unwrap();
        std::fs::write(path("a.py"), "mine").unwrap();
        std::os::unix::fs::symlink("a.py", path("a.ipynb.py")).unwrap();
        assert_eq!(convert(folder.path(), "a.ipynb").unwrap().name, "a.ipynb.py");
        assert_eq!(std::fs::read_to_string(path("a.py")).unwrap(), "mine");
        assert!(std::fs::read_to_string(path("a.ipynb.py")).unwrap().ends_with("x = 1\n"));
    }
}
