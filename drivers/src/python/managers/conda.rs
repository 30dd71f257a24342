//! Environments of conda, made by conda, mamba or micromamba, whichever is there.
//!
//! Packages of conda come from it, packages of pip from pip: no name is translated from one to the other. The
//! environments are in the store like all others, and used in place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;
use protocols::task::Interpreter;
use serde_json::Value;

use super::super::error::PythonError;
use super::super::indexes::Indexes;
use super::super::probe::{PYTHON_VARIABLES, Prober};
use super::super::reason;
use super::super::requirements::{Requirements, Source};
use super::super::store::{Asker, BuildSite, Built, Limits, Question, Recipe, Store, walk, write_atomically};
use super::super::{Environment, EnvironmentRequest, build_private, shared};
use crate::command::{CommandLine, CommandRunner, Finished};
use crate::scrub::scrub_urls;

/// Files in which a repository describes an environment.
const FILES: [&str; 2] = ["environment.yml", "environment.yaml"];
/// The stock agent's, where the configuration names none.
const CHANNELS: [&str; 4] = ["pytorch", "conda-forge", "nvidia", "defaults"];

/// Programs that make environments, the quickest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Micromamba,
    Mamba,
    Conda,
}

impl Tool {
    const ALL: [Self; 3] = [Self::Micromamba, Self::Mamba, Self::Conda];

    fn name(self) -> &'static str {
        match self {
            Self::Micromamba => "micromamba",
            Self::Mamba => "mamba",
            Self::Conda => "conda",
        }
    }

    /// What makes an environment of a file.
    fn create_of_file(self) -> &'static [&'static str] {
        match self {
            Self::Micromamba => &["create"],
            Self::Mamba | Self::Conda => &["env", "create"],
        }
    }
}

/// What an environment is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// A file, by its content.
    File { path: PathBuf, text: String },
    /// Specifications as `conda create` takes them.
    Packages(Vec<String>),
}

/// All that decides on an environment.
pub(in super::super) struct Conda<'a> {
    pub(in super::super) request: &'a EnvironmentRequest<'a>,
    pub(in super::super) settings: &'a PythonSettings,
    pub(in super::super) cache_dir: &'a Path,
    pub(in super::super) commands: &'a dyn CommandRunner,
    pub(in super::super) progress: &'a dyn Fn(&str),
    pub(in super::super) store: &'a Store,
    pub(in super::super) limits: Limits,
    /// Whether nothing is made that only one attempt could use.
    pub(in super::super) is_for_later: bool,
    /// Whether nothing of the caches may be needed by what is made.
    pub(in super::super) is_apart: bool,
}

/// Finds or makes the environment.
pub(in super::super) fn provide(finder: &Conda<'_>) -> Result<Environment, PythonError> {
    let (tool, program) = Tool::ALL
        .into_iter()
        .find_map(|tool| Some((tool, finder.commands.find(tool.name())?)))
        .ok_or_else(|| failure("conda", "none of micromamba, mamba and conda is on PATH".to_owned()))?;
    let wish = wish(finder);
    let requirements = match finder.request.requirements {
        Some(lines) => Requirements::read(&Source::Lines(lines), finder.request.code.as_ref(), finder.progress)?,
        None => Requirements::default(),
    };
    let indexes = Indexes::gather(finder.settings, &requirements, finder.commands);
    let maker = Maker { finder, tool, program, wish, requirements, indexes };
    if maker.requirements.is_local() || finder.is_apart {
        if finder.is_for_later {
            return Err(PythonError::Unshared);
        }
        let made = build_private(&maker, finder.request.private_dir, finder.progress)?;
        return Ok(Environment { packages: None, ..made });
    }
    let (task, commands, progress) = (finder.request.task, finder.commands, finder.progress);
    let asker = Asker { task, commands, progress, limits: finder.limits };
    let found = finder.store.provide(&maker, &asker).map(shared)?;
    Ok(Environment { packages: None, ..found })
}

fn failure(manager: &'static str, detail: String) -> PythonError {
    PythonError::Project { manager, detail }
}

/// The task's packages of conda; where it has neither those nor any of pip, the file of its repository.
fn wish(finder: &Conda<'_>) -> Wish {
    let request = finder.request;
    let is_silent = request.conda.is_none() && request.requirements.is_none();
    if (is_silent || finder.settings.packages.force_files)
        && let Some(code) = request.code
    {
        let paths = FILES.iter().flat_map(|name| [code.working_dir, code.root].map(|folder| folder.join(name)));
        let found = paths.into_iter().find_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text)));
        if let Some((path, text)) = found {
            return Wish::File { path, text };
        }
    }
    let mut packages: Vec<String> =
        request.conda.unwrap_or_default().iter().filter_map(|line| specification(line)).collect();
    if !packages.iter().any(|package| name_of(package) == "python") {
        let version = match request.interpreter {
            Interpreter::Python { version: Some(version), .. } => format!("python={version}"),
            Interpreter::Python { version: None, .. } | Interpreter::Shell(_) => "python".to_owned(),
        };
        packages.insert(0, version);
    }
    Wish::Packages(packages)
}

/// A line of the task as conda takes it; `None` of comments. What pip writes as `a==1` is `a=1` here: conda takes two
/// signs for one exact build.
fn specification(line: &str) -> Option<String> {
    let line = line.split(" #").next().unwrap_or(line).trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let line = line.split(';').next().unwrap_or(line);
    let line: String = line.split_whitespace().collect();
    Some(line.replace("===", "=").replace("==", "="))
}

fn name_of(specification: &str) -> &str {
    let name = specification.rsplit("::").next().unwrap_or(specification);
    name.split(['=', '<', '>', '!', '~', '[']).next().unwrap_or(name)
}

struct Maker<'a> {
    finder: &'a Conda<'a>,
    tool: Tool,
    program: PathBuf,
    wish: Wish,
    requirements: Requirements,
    indexes: Indexes,
}

impl Recipe for Maker<'_> {
    fn question(&self) -> Question {
        let mut lines = vec![format!("made by: {}", self.tool.name())];
        match &self.wish {
            Wish::File { text, .. } => lines.extend(text.lines().map(|line| format!("file: {line}"))),
            Wish::Packages(packages) => lines.extend(packages.iter().map(|package| format!("conda: {package}"))),
        }
        lines.extend(self.channels().map(|channel| format!("channel: {channel}")));
        lines.extend(self.indexes.canonical());
        lines.extend(self.finder.settings.packages.extra_flags.iter().map(|flag| format!("flag: {flag}")));
        let mut lines: Vec<String> = lines.iter().map(|line| scrub_urls(line)).collect();
        lines.extend(self.requirements.canonical_options());
        lines.extend(self.requirements.canonical());
        Question::new(lines)
    }

    fn is_moving(&self) -> bool {
        false
    }

    fn resolve(&self, _: &BuildSite<'_>) -> Result<Option<Vec<String>>, PythonError> {
        Ok(None)
    }

    fn build(&self, site: &BuildSite<'_>, _: Option<&[String]>) -> Result<Built, PythonError> {
        (self.finder.progress)(&format!("making an environment with {}", self.tool.name()));
        let environment = site.folder.join("venv");
        self.make(&environment, site)?;
        let answer = Prober::new(self.finder.cache_dir, self.finder.commands).ask(&environment.join("bin/python"))?;
        let no_python = || failure(self.tool.name(), "the environment has no python".to_owned());
        let [major, minor, patch] = answer.ok_or_else(no_python)?.version;
        let packages = match &self.wish {
            Wish::File { .. } => Vec::new(),
            Wish::Packages(packages) => packages.clone(),
        };
        Ok(Built { program: "venv/bin/python".into(), python_version: format!("{major}.{minor}.{patch}"), packages })
    }

    fn question_of_clone(&self, _: &Built) -> Option<Question> {
        None
    }

    fn kind(&self) -> Vec<String> {
        self.question().lines().to_vec()
    }
}

impl Maker<'_> {
    fn make(&self, environment: &Path, site: &BuildSite<'_>) -> Result<(), PythonError> {
        let finished = self.run(with_lock(self.command(environment).directory(site.folder), site)?)?;
        if !finished.is_success() {
            return Err(failure(self.tool.name(), complaint(&finished.tail, self.tool.name())));
        }
        if self.requirements.is_empty() {
            return Ok(());
        }
        // Among the scratch files, which nobody else can read: it may hold passwords.
        fs::create_dir_all(site.scratch).map_err(PythonError::io("make", site.scratch))?;
        let file = site.scratch.join("requirements.txt");
        write_atomically(&file, self.requirements.file_text(&[]).as_bytes())?;
        let mut command = CommandLine::new(environment.join("bin/python"))
            .arguments(["-m", "pip", "install", "-r"])
            .argument(&file)
            .arguments(&self.finder.settings.packages.extra_flags)
            .directory(self.finder.request.code.map_or(site.folder, |code| code.working_dir));
        command.variables.extend(self.indexes.pip_variables());
        let finished = self.run(with_lock(command, site)?)?;
        if finished.is_success() {
            return Ok(());
        }
        let detail = reason::reason(&finished.tail, self.indexes.scrubber());
        Err(PythonError::Install { detail, is_transient: reason::is_network_failure(&finished.tail) })
    }

    fn command(&self, environment: &Path) -> CommandLine {
        let command = CommandLine::new(&self.program);
        match &self.wish {
            Wish::File { path, .. } => command
                .arguments(self.tool.create_of_file())
                .arguments(["--yes", "--quiet", "--prefix"])
                .argument(environment)
                .argument("--file")
                .argument(path),
            Wish::Packages(packages) => {
                let needs_pip = !self.requirements.is_empty() && !packages.iter().any(|it| name_of(it) == "pip");
                command
                    .arguments(["create", "--yes", "--quiet", "--prefix"])
                    .argument(environment)
                    .arguments(["--override-channels"])
                    .arguments(self.channels().flat_map(|channel| ["--channel", channel]))
                    .arguments(packages)
                    .arguments(needs_pip.then_some("pip"))
            }
        }
    }

    fn channels(&self) -> impl Iterator<Item = &str> {
        let own = &self.finder.settings.packages.conda_channels;
        let usual = CHANNELS.iter().copied().filter(|_| own.is_empty());
        own.iter().map(String::as_str).chain(usual)
    }

    fn run(&self, command: CommandLine) -> Result<Finished, PythonError> {
        let command =
            command.without_variables(PYTHON_VARIABLES).without_variables(["CONDA_PREFIX", "CONDA_DEFAULT_ENV"]);
        let scrubber = self.indexes.scrubber();
        Ok(self.finder.commands.run(command, &mut |line| (self.finder.progress)(&scrubber.scrub(line)))?)
    }
}

/// What outlives this process keeps the lock.
/// Takes the right to write away from the folders of an environment that tasks share, and tells conda so in its own
/// way (CEP 22): what they install goes into their layers. Its files are left alone: conda's cache has them too.
pub(in crate::python) fn freeze(environment: &Path) -> Result<(), PythonError> {
    let lists = environment.join("conda-meta");
    let mark = lists.join("frozen");
    if mark.exists() {
        return Ok(());
    }
    let close = |folder: &Path| {
        let mode = fs::metadata(folder)?.permissions().mode();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode & !0o222))
    };
    let mut result = Ok(());
    walk(environment, &mut |path, metadata| {
        if metadata.is_dir() && path != lists && result.is_ok() {
            result = close(path).map_err(PythonError::io("close", path));
        }
    });
    result?;
    let message = "Tasks share this environment. Install with pip, which writes into the task's own layer, or name the \
                   package in the task's requirements.";
    write_atomically(&mark, serde_json::json!({ "message": message }).to_string().as_bytes())?;
    for folder in [&lists, environment] {
        close(folder).map_err(PythonError::io("close", folder))?;
    }
    Ok(())
}

fn with_lock(command: CommandLine, site: &BuildSite<'_>) -> Result<CommandLine, PythonError> {
    Ok(match site.lock {
        Some(lock) => command.input(lock.for_child()?),
        None => command,
    })
}

/// What a tool says went wrong: conda may answer in JSON, micromamba marks its lines.
fn complaint(tail: &[String], tool: &str) -> String {
    if let Ok(answer) = serde_json::from_str::<Value>(&tail.join("\n")) {
        let text = ["message", "error"].iter().find_map(|key| answer[key].as_str());
        if let Some(text) = text {
            return text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    let lines: Vec<&str> = tail.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let marks = [
        "error    libmamba",
        "critical libmamba",
        "PackagesNotFoundError",
        "ResolvePackageNotFound",
        "LibMambaUnsatisfiableError",
        "UnsatisfiableError",
        "CondaHTTPError",
        "CondaError",
    ];
    let position = lines.iter().position(|line| marks.iter().any(|mark| line.contains(mark)));
    let Some(position) = position else {
        return lines.last().map_or_else(|| format!("{tool} said nothing"), |line| (*line).to_owned());
    };
    // The packages that are missing stand in the lines below.
    let below = lines[position + 1..].iter().take_while(|line| line.starts_with(['-', '└', '├'])).take(3);
    std::iter::once(&lines[position]).chain(below).copied().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "conda_tests.rs"]
mod tests;
