//! What packages a task asks for, and who may reach them.

use std::path::{Path, PathBuf};

use drivers::command::CommandRunner;
use drivers::git::{GitError, PackageAccess, takes_from_git};
use drivers::python::{CodeFolder, code_path, requirement_files, requirements_text};

use protocols::order::ExecutorOrder;

/// The requirement lines of a task, without credentials, and the runner that has them.
pub(super) struct Asked<'a> {
    lines: Option<Vec<String>>,
    access: Option<PackageAccess<'a>>,
    commands: &'a dyn CommandRunner,
}

impl<'a> Asked<'a> {
    /// Of the task of an order. `commands` runs what belongs to the place where the task will run; `code` is where its
    /// code is, if it has any.
    pub(super) fn of(
        order: &'a ExecutorOrder,
        commands: &'a dyn CommandRunner,
        code: Option<CodeFolder<'_>>,
    ) -> Result<Self, GitError> {
        let root = code.map(|code| code.root);
        let Some(lines) = lines(order) else {
            let is_needed = code.is_some_and(|code| needs_git(&code));
            let access =
                is_needed.then(|| PackageAccess::new(&[], &order.git, &order.cache_dir, commands)).transpose()?;
            return Ok(Self { lines: None, access: access.map(|(access, _)| access), commands });
        };
        let is_of_code = || root.is_some_and(|root| lines.iter().any(|line| leads_to_git(root, line)));
        if !lines.iter().any(|line| takes_from_git(line)) && !is_of_code() {
            return Ok(Self { lines: Some(lines), access: None, commands });
        }
        let (access, lines) = PackageAccess::new(&lines, &order.git, &order.cache_dir, commands)?;
        Ok(Self { lines: Some(lines), access: Some(access), commands })
    }

    /// The lines; `None` where the task says nothing.
    pub(super) fn lines(&self) -> Option<&[String]> {
        self.lines.as_deref()
    }

    /// Access to the repositories that packages come from, where some do.
    pub(super) fn repositories(&self) -> Option<&PackageAccess<'a>> {
        self.access.as_ref()
    }

    /// Runs installers. They run programs of packages in turn: who needs no credentials for git gets none.
    pub(super) fn commands(&self) -> &dyn CommandRunner {
        self.access.as_ref().map_or(self.commands, |access| access)
    }
}

/// What a task says about its packages, if anything.
pub(super) fn lines(order: &ExecutorOrder) -> Option<Vec<String>> {
    let original = order.task.original_requirements().filter(|_| order.python.packages.force_original);
    original.or_else(|| order.task.pip_requirements.clone())
}

/// Whether what the code says about packages, where the task says nothing, names a repository of git.
fn needs_git(code: &CodeFolder<'_>) -> bool {
    let is_named = |file: &PathBuf| {
        let text = requirements_text(file).unwrap_or_default();
        let folder = file.parent().unwrap_or(code.root);
        text.lines().any(|line| takes_from_git(line) || leads_to_git(folder, line.trim()))
    };
    mentions_git(code.root) || mentions_git(code.working_dir) || requirement_files(code).iter().any(is_named)
}

/// Whether a line refers to a project or a list in the code that names a repository of git.
fn leads_to_git(root: &Path, line: &str) -> bool {
    let Some(path) = code_path(line) else { return false };
    let path = root.join(path);
    if path.is_dir() {
        return mentions_git(&path);
    }
    requirements_text(&path).is_ok_and(|text| text.contains("git+"))
}

/// Whether what the code says about packages names a repository of git.
fn mentions_git(root: &Path) -> bool {
    const FILES: [&str; 7] =
        ["requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "environment.yml", "setup.py", "setup.cfg"];
    // In whatever way its tables are written: `{ git = ".." }`, `source.git=".."`.
    const SIGNS: [&str; 4] = ["git=\"", "git='", "\"git\"", "'git'"];
    let is_word = |before: &str| before.ends_with(|letter: char| letter.is_alphanumeric() || "-_".contains(letter));
    let texts = FILES.iter().filter_map(|name| requirements_text(&root.join(name)).ok());
    let mut texts = texts.map(|text| text.replace([' ', '\t'], ""));
    let has = |text: &str, sign: &str| text.match_indices(sign).any(|(at, _)| !is_word(&text[..at]));
    texts.any(|text| text.contains("git+") || SIGNS.iter().any(|sign| has(&text, sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_found_wherever_the_code_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("deep/lists")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
        let needs = || needs_git(&CodeFolder { root, working_dir: root, entry_point: "deep/run.py" });
        write("deep/run.py", "");
        write("deep/requirements.txt", "six\n-r lists/more.txt\n");
        write("deep/lists/more.txt", "idna\n");
        assert!(!needs());
        write("deep/lists/more.txt", "a @ git+https://h/a\n");
        assert!(needs());
        // As PowerShell writes it.
        let utf16: Vec<u8> = "\u{feff}a @ git+https://h/a".encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(root.join("deep/lists/more.txt"), utf16).unwrap();
        assert!(needs());
        write("deep/lists/more.txt", "");
        assert!(!needs());
        write("pyproject.toml", "[tool.uv.sources]\na={git='https://h/a'}\n");
        assert!(needs());
        write("pyproject.toml", "[tool.x]\nlegit = 'https://h/a'\n");
        assert!(!needs());
    }
}
