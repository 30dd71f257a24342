//! A project of uv, as requirement lines: `uv export`.

use super::super::error::PythonError;
use super::super::probe::PYTHON_VARIABLES;
use super::super::reason;
use super::super::uv::UvProvider;
use super::project::Project;
use super::{Exported, Finder};
use crate::command::{CommandLine, Finished};

/// The lines; `None`, with a line that says why, where the requirements of the task have to do.
pub(super) fn lines(finder: &Finder<'_>, project: &Project) -> Result<Option<Vec<String>>, PythonError> {
    let indexes = finder.indexes();
    let provider = UvProvider {
        cache_dir: finder.cache_dir,
        interpreter: finder.interpreter,
        indexes: &indexes,
        commands: finder.commands,
        progress: finder.progress,
    };
    let Some(uv) = provider.provide()? else {
        return match project.is_locked() {
            true => Err(PythonError::Project {
                manager: project.kind.name(),
                detail: "uv is not on this machine and cannot be installed".to_owned(),
            }),
            false => Ok(None),
        };
    };
    let output = Exported::new(finder)?;
    let run = |locked: bool| -> Result<Finished, PythonError> {
        let mut command = CommandLine::new(&uv)
            .arguments(["export", "--quiet", "--format", "requirements-txt", "--no-header", "--no-annotate"])
            .arguments(locked.then_some("--locked"))
            .argument("--output-file")
            .argument(output.path())
            .argument("--python")
            .argument(&finder.interpreter.path)
            .arguments(&finder.settings.packages.uv_arguments)
            .directory(&project.folder)
            .without_variables(PYTHON_VARIABLES);
        command.variables.extend(indexes.uv_variables(&finder.cache_dir.join("uv"), finder.commands));
        Ok(finder.commands.run(command, &mut |_| {})?)
    };
    let is_locked = project.is_locked();
    finder.say(&format!(
        "this is a project of uv: taking what {} says",
        if is_locked { "uv.lock" } else { "pyproject.toml" }
    ));
    let mut finished = run(is_locked && !finder.settings.packages.uv_unlocked)?;
    if !finished.is_success() && is_locked && !finder.settings.packages.uv_unlocked {
        let why = reason::reason(&finished.tail, indexes.scrubber());
        finder.say(&format!("uv.lock is brought up to date: {why}"));
        finished = run(false)?;
    }
    if finished.is_success() {
        return output.lines().map(Some);
    }
    let detail = reason::reason(&finished.tail, indexes.scrubber());
    if is_locked {
        return Err(PythonError::Project { manager: project.kind.name(), detail });
    }
    finder.say(&format!("uv cannot tell what the project needs ({detail}): taking requirement lines"));
    Ok(None)
}
