//! A project of poetry, as requirement lines: `poetry export`, by a poetry of our own.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::super::error::PythonError;
use super::super::indexes::Indexes;
use super::super::probe::PYTHON_VARIABLES;
use super::super::reason;
use super::super::store::remove;
use super::super::uv::UvProvider;
use super::groups;
use super::project::Project;
use super::{Exported, Finder};
use crate::command::CommandLine;
use crate::file_lock::FileLock;

/// Arguments of `poetry install` that `poetry export` has too, and whether a value follows.
const EXPORTED: [(&str, bool); 7] = [
    ("--with", true),
    ("--without", true),
    ("--only", true),
    ("--extras", true),
    ("-E", true),
    ("--all-extras", false),
    ("--all-groups", false),
];

/// The lines. A failure of poetry is one of the task.
pub(super) fn lines(finder: &Finder<'_>, project: &Project) -> Result<Option<Vec<String>>, PythonError> {
    let indexes = finder.indexes();
    let poetry = Poetry { finder, project, indexes: &indexes, home: home(finder) };
    poetry.provide()?;
    if !project.is_locked() {
        finder.say("this is a project of poetry without poetry.lock: deciding on versions");
        poetry.run(&["lock", "--no-interaction"])?;
    }
    finder.say("this is a project of poetry: taking what poetry.lock says");
    let output = Exported::new(finder)?;
    let path = output.path().display().to_string();
    let mut arguments = vec!["export", "--no-interaction", "--format", "requirements.txt", "--output", &path];
    let groups = groups::installed(&project.text).join(",");
    let given = exported(&finder.settings.packages.poetry_arguments);
    if !groups.is_empty() && !given.iter().any(|argument| ["--only", "--all-groups"].contains(&argument.as_str())) {
        arguments.extend(["--with", &groups]);
    }
    arguments.extend(given.iter().map(String::as_str));
    poetry.run(&arguments)?;
    let mut lines = output.lines()?;
    let without_root = finder.settings.packages.poetry_arguments.iter().any(|argument| argument == "--no-root");
    if !without_root && groups::installs_itself(&project.text, |place| project.path(place).exists()) {
        lines.push("-e .".to_owned());
    }
    Ok(Some(lines))
}

/// Those of the arguments for installing that also say what is exported.
fn exported(arguments: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let name = argument.split('=').next().unwrap_or(argument);
        let Some((_, takes_value)) = EXPORTED.iter().find(|(known, _)| *known == name) else { continue };
        found.push(argument.clone());
        if *takes_value && !argument.contains('=') {
            found.extend(rest.next().cloned());
        }
    }
    found
}

/// Where poetry is installed: one folder for each version and interpreter, which images may have in one place.
fn home(finder: &Finder<'_>) -> PathBuf {
    let image = finder.commands.image().map(|image| format!(" {}", image.id)).unwrap_or_default();
    let what = format!("{} {}{image}", requirement(finder), finder.interpreter.path.display());
    finder.cache_dir.join("tools").join(format!("poetry-{}", hex::encode(&Sha256::digest(what)[..6])))
}

/// As the stock agent takes it: a bare version is an exact one.
fn requirement(finder: &Finder<'_>) -> String {
    match finder.settings.packages.poetry_version.as_deref() {
        None => "poetry".to_owned(),
        Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => format!("poetry=={version}"),
        Some(version) => format!("poetry{version}"),
    }
}

struct Poetry<'a> {
    finder: &'a Finder<'a>,
    project: &'a Project,
    indexes: &'a Indexes,
    home: PathBuf,
}

impl Poetry<'_> {
    fn program(&self) -> PathBuf {
        self.home.join("bin/poetry")
    }

    /// Installs poetry with its plugin, once for this machine, or for an image.
    fn provide(&self) -> Result<(), PythonError> {
        // The folder gets its name when it is whole.
        if self.program().exists() {
            return Ok(());
        }
        let waiting = || self.finder.say("waiting for another task that installs poetry");
        let lock = FileLock::acquire(&self.home.with_extension("lock"), self.finder.commands, waiting)?;
        if self.program().exists() {
            return Ok(());
        }
        let place = if self.finder.commands.image().is_some() { "image" } else { "machine" };
        self.finder.say(&format!("installing poetry, once for this {place}"));
        remove(&self.home)?;
        if let Err(error) = self.install(&lock) {
            // A half installation must not count.
            remove(&self.home)?;
            return Err(error);
        }
        Ok(())
    }

    fn install(&self, lock: &FileLock) -> Result<(), PythonError> {
        let finder = self.finder;
        let provider = UvProvider {
            cache_dir: finder.cache_dir,
            interpreter: finder.interpreter,
            indexes: self.indexes,
            commands: finder.commands,
            progress: finder.progress,
        };
        let python = self.home.join("bin/python");
        let what = [requirement(finder), "poetry-plugin-export".to_owned()];
        let uv = if finder.settings.without_uv { None } else { provider.provide()? };
        let steps = match uv {
            Some(uv) => {
                let make = CommandLine::new(&uv).arguments(["venv", "--quiet", "--no-project", "--python"]);
                let install = CommandLine::new(&uv).arguments(["pip", "install", "--quiet", "--python"]);
                let mut steps = [
                    make.argument(&finder.interpreter.path).argument(&self.home),
                    install.argument(&python).arguments(what),
                ];
                for step in &mut steps {
                    step.variables.extend(self.indexes.uv_variables(&finder.cache_dir.join("uv"), finder.commands));
                }
                steps
            }
            None => {
                let make = CommandLine::new(&finder.interpreter.path).arguments(["-m", "venv"]).argument(&self.home);
                let mut install =
                    CommandLine::new(&python).arguments(["-m", "pip", "install", "--quiet"]).arguments(what);
                install.variables.extend(self.indexes.pip_variables());
                [make, install]
            }
        };
        for step in steps {
            let step = step.directory(finder.cache_dir).without_variables(PYTHON_VARIABLES).input(lock.for_child()?);
            let finished = finder.commands.run(step, &mut |_| {})?;
            if !finished.is_success() {
                let detail = reason::reason(&finished.tail, self.indexes.scrubber());
                let detail = format!("it cannot be installed: {detail}");
                return Err(PythonError::Project { manager: self.project.kind.name(), detail });
            }
        }
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<(), PythonError> {
        let command = CommandLine::new(self.program())
            .arguments(arguments)
            .directory(&self.project.folder)
            .without_variables(PYTHON_VARIABLES)
            .variable("POETRY_VIRTUALENVS_CREATE", "false")
            .variable("POETRY_WARNINGS_EXPORT", "false")
            .variable("NO_COLOR", "1");
        let command = match self.finder.commands.image() {
            // Whoever runs it there need not have a home.
            Some(_) => command
                .variable("POETRY_CACHE_DIR", self.finder.cache_dir.join("poetry"))
                .variable("POETRY_CONFIG_DIR", self.home.join("config"))
                .variable("POETRY_DATA_DIR", self.home.join("data")),
            None => command,
        };
        let scrubber = self.indexes.scrubber();
        let finished = self.finder.commands.run(command, &mut |_| {})?;
        if finished.is_success() {
            return Ok(());
        }
        for line in &finished.tail {
            self.finder.say(&scrubber.scrub(line));
        }
        let detail = complaint(&finished.tail)
            .map_or_else(|| reason::reason(&finished.tail, scrubber), |it| scrubber.scrub(&it));
        Err(PythonError::Project { manager: self.project.kind.name(), detail })
    }
}

/// poetry's own words: what follows a line with the name of an exception, else its last line.
fn complaint(tail: &[String]) -> Option<String> {
    let lines: Vec<&str> = tail.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let last = *lines.last()?;
    let about_lock = lines.iter().find(|line| line.contains("poetry.lock") || line.contains("pyproject.toml changed"));
    Some((*about_lock.unwrap_or(&last)).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_choose_are_kept() {
        let check = |given: &str, expected: &str| {
            let given: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
            assert_eq!(exported(&given).join(" "), expected);
        };
        check("-v --with dev,docs --no-root --sync", "--with dev,docs");
        check("--extras=a --all-extras -E b", "--extras=a --all-extras -E b");
        check("--only main", "--only main");
    }
}
