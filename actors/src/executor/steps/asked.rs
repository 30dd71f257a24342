//! What packages a task asks for, and who may reach them.

use std::path::Path;

use drivers::command::CommandRunner;
use drivers::git::{GitError, PackageAccess, takes_from_git};
use drivers::python::code_path;

use protocols::order::ExecutorOrder;

/// The requirement lines of a task, without credentials, and the runner that has them.
pub(super) struct Asked<'a> {
    lines: Option<Vec<String>>,
    access: Option<PackageAccess<'a>>,
    commands: &'a dyn CommandRunner,
}

impl<'a> Asked<'a> {
    /// Of the task of an order. `commands` runs what belongs to the place where the task will run; `root` is where its
    /// code is, if it has any.
    pub(super) fn of(
        order: &'a ExecutorOrder,
        commands: &'a dyn CommandRunner,
        root: Option<&Path>,
    ) -> Result<Self, GitError> {
        let Some(lines) = lines(order) else {
            let is_needed = root.is_some_and(mentions_git);
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

/// Whether a line refers to a project or a list in the code that names a repository of git.
fn leads_to_git(root: &Path, line: &str) -> bool {
    let Some(path) = code_path(line) else { return false };
    let path = root.join(path);
    if path.is_dir() {
        return mentions_git(&path);
    }
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("git+"))
}

/// Whether what the code says about packages names a repository of git.
fn mentions_git(root: &Path) -> bool {
    const FILES: [&str; 7] =
        ["requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "environment.yml", "setup.py", "setup.cfg"];
    // In whatever way its tables are written: `{ git = ".." }`, `source.git=".."`.
    const SIGNS: [&str; 5] = ["git+", "git=\"", "git='", "\"git\"", "'git'"];
    let texts = FILES.iter().filter_map(|name| std::fs::read_to_string(root.join(name)).ok());
    let mut texts = texts.map(|text| text.replace([' ', '\t'], ""));
    texts.any(|text| SIGNS.iter().any(|sign| text.contains(sign)))
}
