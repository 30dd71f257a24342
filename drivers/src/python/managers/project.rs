//! Projects of uv and poetry: their files, and the requirement lines that stand for them.

use std::path::{Path, PathBuf};

use super::super::CodeFolder;
use super::super::requirement_line::{local_path, logical_lines};

/// Whose project it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `uv.lock`, or `pyproject.toml`.
    Uv,
    /// `poetry.lock`, or `pyproject.toml` with a section of poetry.
    Poetry,
}

impl Kind {
    /// Name of its program.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Poetry => "poetry",
        }
    }

    fn lock_file(self) -> &'static str {
        match self {
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
        }
    }
}

/// A project in the code of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    pub(super) kind: Kind,
    /// Where its files are.
    pub(super) folder: PathBuf,
    /// The text of `pyproject.toml`.
    pub(super) text: String,
}

impl Project {
    /// The project of a manager in the root of the code, or in its working directory; `None` where there is none.
    pub(super) fn find(kind: Kind, code: &CodeFolder<'_>, in_working_dir: bool) -> Option<Self> {
        let folder = if in_working_dir { code.working_dir } else { code.root };
        let text = std::fs::read_to_string(folder.join("pyproject.toml")).ok()?;
        let project = Self { kind, folder: folder.to_owned(), text };
        let is_meant = project.is_locked()
            || match kind {
                Kind::Uv => has_section(&project.text, "project"),
                Kind::Poetry => has_section(&project.text, "tool.poetry") || has_section(&project.text, "project"),
            };
        is_meant.then_some(project)
    }

    /// Whether the versions of its packages are decided.
    pub(super) fn is_locked(&self) -> bool {
        self.folder.join(self.kind.lock_file()).is_file()
    }

    /// Lines as a manager exports them, as a set that can be installed: where some lie in the code and have no hash,
    /// none may have one.
    pub(super) fn complete(&self, lines: &[String]) -> Vec<String> {
        let lines = logical_lines(lines.iter().map(String::as_str));
        let is_local = |line: &String| line.starts_with("-e ") || local_path(line).is_some();
        if !lines.iter().any(is_local) {
            return lines;
        }
        lines.iter().map(|line| line.split(" --hash=").next().unwrap_or(line).trim().to_owned()).collect()
    }

    /// A file of the project.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }
}

/// Whether a text of TOML has a table of this name, or one within it.
pub(super) fn has_section(text: &str, name: &str) -> bool {
    sections(text)
        .any(|section| section == name || section.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// Names of the tables of a text of TOML, without spaces and quotes.
pub(super) fn sections(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let inner = line.trim().strip_prefix('[')?.split(']').next()?;
        let inner = inner.trim_start_matches('[');
        Some(inner.replace([' ', '"', '\''], ""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_found_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let code = CodeFolder { root, working_dir: root, entry_point: "a.py" };
        let kinds = || [Kind::Uv, Kind::Poetry].map(|kind| Project::find(kind, &code, false).is_some());
        assert_eq!(kinds(), [false, false]);
        std::fs::write(root.join("pyproject.toml"), "[tool.ruff]\nline-length = 100\n").unwrap();
        assert_eq!(kinds(), [false, false], "settings of a linter are no project");
        std::fs::write(root.join("poetry.lock"), "").unwrap();
        assert_eq!(kinds(), [false, true]);
        std::fs::write(root.join("pyproject.toml"), "[ project ]\nname = 'x'\n").unwrap();
        assert_eq!(kinds(), [true, true]);
    }

    #[test]
    fn hashes_go_where_not_all_can_have_one() {
        let project = Project { kind: Kind::Uv, folder: "/p".into(), text: String::new() };
        let six = "six==1.17.0 \\\n    --hash=sha256:00".to_owned();
        assert_eq!(project.complete(std::slice::from_ref(&six)), ["six==1.17.0     --hash=sha256:00"]);
        assert_eq!(project.complete(&[six, "-e .".to_owned()]), ["six==1.17.0", "-e ."]);
    }
}
