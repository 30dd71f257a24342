//! What packages a task asks for, and who may reach them.

use std::path::Path;

use drivers::command::CommandRunner;
use drivers::git::{GitError, PackageAccess, takes_from_git};

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
        order: &ExecutorOrder,
        commands: &'a dyn CommandRunner,
        root: Option<&Path>,
    ) -> Result<Self, GitError> {
        let Some(lines) = lines(order) else {
            let is_needed = root.is_some_and(mentions_git);
            let access = is_needed.then(|| PackageAccess::new(&[], &order.git, commands)).transpose()?;
            return Ok(Self { lines: None, access: access.map(|(access, _)| access), commands });
        };
        if !lines.iter().any(|line| takes_from_git(line)) {
            return Ok(Self { lines: Some(lines), access: None, commands });
        }
        let (access, lines) = PackageAccess::new(&lines, &order.git, commands)?;
        Ok(Self { lines: Some(lines), access: Some(access), commands })
    }

    /// The lines; `None` where the task says nothing.
    pub(super) fn lines(&self) -> Option<&[String]> {
        self.lines.as_deref()
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

/// Whether what the code says about packages names a repository of git.
fn mentions_git(root: &Path) -> bool {
    const FILES: [&str; 5] = ["requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "environment.yml"];
    let mut texts = FILES.iter().filter_map(|name| std::fs::read_to_string(root.join(name)).ok());
    texts.any(|text| text.contains("git+") || text.contains("git = ") || text.contains("type = \"git\""))
}
