//! A project of uv, as requirement lines: `uv export`.

use super::super::error::PythonError;
use super::super::from_git::Copies;
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
    let decide = || -> Result<(Finished, Option<Vec<String>>), PythonError> {
        let Some(copies) = Copies::of(finder.request.repositories, output.folder(), finder.progress) else {
            let finished = run(false)?;
            let lines = finished.is_success().then(|| output.lines()).transpose()?;
            return Ok((finished, lines));
        };
        // There need not be a git in the image, and the credentials are not there.
        let swapped = copies.swap_for_lock(&project.folder)?;
        let finished = run(false)?;
        let lines = finished.is_success().then(|| output.lines()).transpose()?;
        let lock = std::fs::read_to_string(project.path("uv.lock")).unwrap_or_default();
        swapped.restore()?;
        Ok((finished, lines.map(|lines| copies.named_originals(&lines, &lock))))
    };
    let (finished, lines) = if is_locked && !finder.settings.packages.uv_unlocked {
        let finished = run(true)?;
        if finished.is_success() {
            return output.lines().map(Some);
        }
        let why = reason::reason(&finished.tail, indexes.scrubber());
        finder.say(&format!("uv.lock is brought up to date: {why}"));
        decide()?
    } else {
        decide()?
    };
    if lines.is_some() {
        return Ok(lines);
    }
    let detail = reason::reason(&finished.tail, indexes.scrubber());
    if is_locked {
        return Err(PythonError::Project { manager: project.kind.name(), detail });
    }
    finder.say(&format!("uv cannot tell what the project needs ({detail}): taking requirement lines"));
    Ok(None)
}
