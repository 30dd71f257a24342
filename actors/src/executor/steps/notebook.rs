//! Notebooks, turned into programs: their cells of code, one after another.
//!
//! No Jupyter is needed for it. What only a notebook understands becomes what a program can do (`!command`, `%pip`,
//! `%%bash`), or is left out, which is said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Stands first: what notebooks have without importing it.
const PRELUDE: &str = "try:\n    from IPython.display import display\nexcept ImportError:\n    display = print\n";

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

/// Writes the program beside the notebook: `a.py` for `a.ipynb`, or `a.ipynb.py` where there is an `a.py` already.
pub(super) fn convert(folder: &Path, name: &str) -> Result<Converted, NotebookError> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).map_err(|source| NotebookError::Read { path: path.clone(), source })?;
    let (program, cells, left_out) = program(&text, name)?;
    let stem = name.strip_suffix(".ipynb").unwrap_or(name);
    let plain = format!("{stem}.py");
    let target = if folder.join(&plain).symlink_metadata().is_ok() { format!("{name}.py") } else { plain };
    let path = folder.join(&target);
    std::fs::write(&path, program).map_err(|source| NotebookError::Write { path, source })?;
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
        body.push_str(&format!("\n# cell {number}\n"));
        for line in cell_lines(cell, &mut left_out) {
            if line.starts_with("from __future__ import ") {
                future.push_str(&format!("{line}\n"));
            } else {
                body.push_str(&format!("{line}\n"));
            }
        }
    }
    Ok((format!("{future}{PRELUDE}{body}"), cells.len(), left_out))
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

fn cell_lines(cell: &str, left_out: &mut BTreeSet<String>) -> Vec<String> {
    let first = cell.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let Some(magic) = first.strip_prefix("%%") else {
        return cell.lines().map(|line| plain_line(line, left_out)).collect();
    };
    let body = cell.split_once(first).map_or("", |(_, body)| body.trim_start_matches('\n'));
    match magic.split_whitespace().next().unwrap_or_default() {
        "time" | "timeit" | "capture" | "prun" => body.lines().map(|line| plain_line(line, left_out)).collect(),
        "bash" | "sh" | "script" => vec![run(&format!("bash -c {}", quoted_for_shell(body)))],
        other => {
            left_out.insert(format!("%%{other}"));
            vec![format!("# %%{other}: left out")]
        }
    }
}

/// A line of Python as it is; `!command` and `%magic` as what they do, at the same depth.
fn plain_line(line: &str, left_out: &mut BTreeSet<String>) -> String {
    let bare = line.trim_start();
    let depth = &line[..line.len() - bare.len()];
    if let Some(command) = bare.strip_prefix('!') {
        return format!("{depth}{}", run(command.trim_start_matches('!')));
    }
    let Some(magic) =
        bare.strip_prefix('%').filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_alphabetic()))
    else {
        return line.to_owned();
    };
    let (name, rest) = magic.split_once(char::is_whitespace).unwrap_or((magic, ""));
    match name {
        "pip" => format!("{depth}{}", run(&format!("python -m pip {rest}"))),
        "time" | "timeit" if !rest.trim().is_empty() => format!("{depth}{}", rest.trim()),
        _ => {
            left_out.insert(format!("%{name}"));
            format!("{depth}pass  # %{magic}: left out")
        }
    }
}

/// A statement that runs a text in a shell. A text of JSON is one of Python, too.
fn run(command: &str) -> String {
    format!("__import__('subprocess').run({}, shell=True)", Value::String(command.to_owned()))
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
        let lines =
            "%matplotlib inline\n!ls -l \"x\"\nif x:\n    %pip install six\n%time f(1)\ny = 7 % x\ns = '''\n% d'''";
        let (body, left_out) = made(&json!([code(&json!(lines))]));
        let expected = "pass  # %matplotlib inline: left out\n__import__('subprocess').run(\"ls -l \\\"x\\\"\", shell=True)\n\
            if x:\n    __import__('subprocess').run(\"python -m pip install six\", shell=True)\nf(1)\ny = 7 % x\ns = '''\n% d'''\n";
        assert_eq!(body, expected);
        assert_eq!(left_out, ["%matplotlib"]);
        let (body, left_out) = made(&json!([
            code(&json!("%%bash\necho 'a b'\n")),
            code(&json!("%%html\n<b>\n")),
            code(&json!("%%time\nz = 1"))
        ]));
        assert!(body.contains("bash -c 'echo '\\\\''a b'\\\\''") && body.contains("z = 1"), "{body}");
        assert_eq!(left_out, ["%%html"]);
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
    fn a_file_that_is_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let text = json!({ "cells": [code(&json!("x = 1"))] }).to_string();
        std::fs::write(folder.path().join("a.ipynb"), &text).unwrap();
        assert_eq!(convert(folder.path(), "a.ipynb").unwrap().name, "a.py");
        std::fs::write(folder.path().join("a.py"), "mine").unwrap();
        assert_eq!(convert(folder.path(), "a.ipynb").unwrap().name, "a.ipynb.py");
        assert_eq!(std::fs::read_to_string(folder.path().join("a.py")).unwrap(), "mine");
    }
}
