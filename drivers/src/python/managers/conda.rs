//! Environments of conda, made by conda, mamba or micromamba, whichever is there; for containers, by the one of the
//! image.
//!
//! Packages of conda come from it, packages of pip from pip: no name is translated from one to the other. The
//! environments are in the store like all others, and used in place.

mod complaint;
mod description;
mod downloads;
mod frozen;
mod layout;
mod records;
mod secrets;
mod tool;
mod wish;

use std::error::Error as _;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;

use self::complaint::{complaint, is_network_failure};
use self::description::{Settings, description, settings};
use self::downloads::Downloads;
pub(in crate::python) use self::frozen::freeze;
pub(in crate::python) use self::layout::{is_of_conda, python_version};
use self::secrets::{has_secret, masked};
use self::tool::{Chosen, Tool, choose};
use self::wish::{Wish, name_of, wish};
use super::super::environment::{build_private, shared};
use super::super::error::PythonError;
use super::super::flags::Flags;
use super::super::from_git::Copies;
use super::super::indexes::Indexes;
use super::super::probe::{PYTHON_VARIABLES, Prober};
use super::super::reason;
use super::super::requirements::{Requirements, Source};
use super::super::store::{Asker, BuildSite, Built, Limits, Question, Recipe, Store, write_atomically};
use super::super::{Environment, EnvironmentRequest};
use crate::command::{CommandError, CommandLine, CommandRunner, Finished};
use crate::scrub::Scrubber;

/// The stock agent's, where the configuration names none.
const CHANNELS: [&str; 4] = ["pytorch", "conda-forge", "nvidia", "defaults"];
/// What conda takes for the CUDA that the driver serves.
const CUDA: &str = "CONDA_OVERRIDE_CUDA";
/// Nobody is there to be asked. conda before 23.9 has no `--yes` where it makes an environment of a file.
const ALWAYS_YES: [&str; 2] = ["CONDA_ALWAYS_YES", "MAMBA_ALWAYS_YES"];
/// Files of their own instead of links into the packages.
const ALWAYS_COPY: [&str; 2] = ["CONDA_ALWAYS_COPY", "MAMBA_ALWAYS_COPY"];
/// Variables of whoever configures a machine or an image that decide on what an environment gets.
const DECIDING: [&str; 5] =
    [CUDA, "CONDA_OVERRIDE_GLIBC", "CONDA_CHANNEL_ALIAS", "CONDA_CHANNEL_PRIORITY", "CONDA_SUBDIR"];

/// All that decides on an environment.
pub(in super::super) struct Conda<'a> {
    pub(in super::super) request: &'a EnvironmentRequest<'a>,
    pub(in super::super) settings: &'a PythonSettings,
    pub(in super::super) cache_dir: &'a Path,
    pub(in super::super) commands: &'a dyn CommandRunner,
    pub(in super::super) progress: &'a dyn Fn(&str),
    pub(in super::super) store: &'a Store,
    /// Where what is downloaded for environments of images is kept.
    pub(in super::super) downloads: &'a Path,
    pub(in super::super) limits: Limits,
    /// Whether nothing is made that only one attempt could use.
    pub(in super::super) is_for_later: bool,
    /// Whether nothing of the caches may be needed by what is made.
    pub(in super::super) is_apart: bool,
}

/// Finds or makes the environment.
pub(in super::super) fn provide(finder: &Conda<'_>) -> Result<Environment, PythonError> {
    let chosen = choose(finder.commands, finder.cache_dir)?;
    let wish = wish(finder.request, finder.settings.packages.force_files);
    let mut requirements = match finder.request.requirements {
        Some(lines) => Requirements::read(&Source::Lines(lines), finder.request.code.as_ref(), finder.progress)?,
        None => Requirements::default(),
    };
    let flags = Flags::read(&finder.settings.packages.extra_flags);
    flags.refusal().iter().for_each(|text| (finder.progress)(text));
    requirements.add_options(flags.options.clone());
    let indexes = Indexes::gather(finder.settings, &requirements, finder.commands);
    let masks = Masks::of(finder, &wish, indexes.scrubber());
    let maker = Maker { finder, chosen, wish, requirements, flags, indexes, masks };
    if maker.requirements.is_local() || finder.is_apart {
        if finder.is_for_later {
            return Err(PythonError::Unshared);
        }
        let stands_alone = finder.is_apart || finder.commands.image().is_some();
        let made = build_private(&maker, finder.request.private_dir, stands_alone, finder.progress)?;
        return Ok(Environment { packages: None, ..made });
    }
    let (task, commands, progress) = (finder.request.task, finder.commands, finder.progress);
    let asker = Asker { task, commands, progress, limits: finder.limits };
    let found = finder.store.provide(&maker, &asker).map(shared)?;
    Ok(Environment { packages: None, ..found })
}

struct Maker<'a> {
    finder: &'a Conda<'a>,
    chosen: Chosen,
    wish: Wish,
    requirements: Requirements,
    flags: Flags,
    indexes: Indexes,
    masks: Masks,
}

impl Recipe for Maker<'_> {
    fn question(&self) -> Question {
        let mut lines = vec![format!("made by: {}", self.chosen.tool.name())];
        match &self.wish {
            Wish::File { text, .. } => lines.extend(text.lines().map(|line| format!("file: {line}"))),
            Wish::Packages(packages) => lines.extend(packages.iter().map(|package| format!("conda: {package}"))),
        }
        lines.extend(channels(self.finder).map(|channel| format!("channel: {channel}")));
        lines.extend(self.deciding().map(|(name, value)| format!("{name}: {value}")));
        lines.extend(self.finder.commands.image().map(|image| format!("image: {}", image.id)));
        lines.extend(self.indexes.canonical());
        lines.extend(self.flags.for_pip().map(|flag| format!("flag: {flag}")));
        let mut lines: Vec<String> = lines.iter().map(|line| self.masks.scrub(line)).collect();
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

    fn is_for_an_image(&self) -> bool {
        self.finder.commands.image().is_some()
    }

    fn build(&self, site: &BuildSite<'_>, _: Option<&[String]>) -> Result<Built, PythonError> {
        let Chosen { tool, origin, .. } = &self.chosen;
        (self.finder.progress)(&format!("making an environment with {} ({origin})", tool.name()));
        let environment = self.place(site);
        self.make(&environment, site)?;
        // By its name on this machine.
        records::clean(&site.folder.join("venv"))?;
        self.install(&environment, site)?;
        let prober = Prober::new(self.finder.cache_dir, self.finder.commands);
        let answer = prober.ask_now(&environment.join("bin/python"))?;
        let no_python = || self.failure("the environment has no python".to_owned(), false);
        let [major, minor, patch] = answer.ok_or_else(no_python)?.version;
        // By its name on this machine.
        let packages = layout::packages(&site.folder.join("venv"));
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
    /// Where the environment is to be, by the name that it will be used under: it is written into its programs.
    fn place(&self, site: &BuildSite<'_>) -> PathBuf {
        let environment = site.folder.join("venv");
        self.finder.commands.image().and_then(|image| image.name_in_made(&environment)).unwrap_or(environment)
    }

    /// What is conda's part.
    fn make(&self, environment: &Path, site: &BuildSite<'_>) -> Result<(), PythonError> {
        let mut command = with_lock(self.command(environment, site)?.directory(site.folder), site)?;
        command.variables.extend(ALWAYS_YES.map(|name| (name.into(), "true".into())));
        if site.stands_alone {
            command.variables.extend(ALWAYS_COPY.map(|name| (name.into(), "true".into())));
        }
        command.variables.extend(self.deciding().map(|(name, value)| (name.into(), value.into())));
        let finished = match self.finder.commands.image() {
            Some(_) if self.finder.settings.store.without_download_cache => {
                command.variables.extend(self.places(site.scratch, &site.scratch.join("packages")));
                self.run(command)?
            }
            Some(_) => {
                let downloads = Downloads::take(self.finder.downloads)?;
                command.variables.extend(self.places(&downloads.folder(), &downloads.packages()));
                let finished = self.run(command)?;
                if finished.status.code().is_some() {
                    downloads.give_back()?;
                }
                finished
            }
            None => self.run(command)?,
        };
        if finished.is_success() {
            return Ok(());
        }
        if reason::is_disk_full(&finished.tail) {
            return Err(PythonError::DiskFull { path: site.folder.to_owned() });
        }
        let detail = match finished.status.code() {
            Some(_) => complaint(&finished.tail, self.chosen.tool.name()),
            None => format!("it was ended ({})", finished.status),
        };
        Err(self.failure(self.masks.scrub(&detail), is_network_failure(&finished.tail)))
    }

    /// What is pip's part, if anything is.
    fn install(&self, environment: &Path, site: &BuildSite<'_>) -> Result<(), PythonError> {
        if self.requirements.is_empty() {
            return Ok(());
        }
        // Among the scratch files, which nobody else can read: it may hold passwords.
        fs::create_dir_all(site.scratch).map_err(PythonError::io("make", site.scratch))?;
        let file = site.scratch.join("requirements.txt");
        let copies = Copies::of(self.finder.request.repositories, site.scratch, self.finder.progress);
        let text = self.requirements.file_text(&[]);
        let text = copies.as_ref().map_or(Ok(text.clone()), |copies| copies.stand_in(&text))?;
        write_atomically(&file, text.as_bytes())?;
        let mut command = CommandLine::new(environment.join("bin/python"))
            .arguments(["-m", "pip", "install", "-r"])
            .argument(&file)
            .arguments(self.flags.for_pip())
            .directory(self.finder.request.code.map_or(site.folder, |code| code.working_dir));
        command.variables.extend(match self.finder.commands.image() {
            Some(_) => self.indexes.pip_variables_in_image(),
            None => self.indexes.pip_variables(),
        });
        let command = with_lock(command, site)?;
        let finished = match &copies {
            Some(copies) => copies.with_local_projects(self.requirements.lines(), || self.run(command))?,
            None => self.run(command)?,
        };
        if finished.is_success() {
            // By its name on this machine.
            return copies.map_or(Ok(()), |copies| copies.name_origins(&site.folder.join("venv")));
        }
        let detail = reason::reason(&finished.tail, self.indexes.scrubber());
        Err(PythonError::Install { detail, is_transient: reason::is_network_failure(&finished.tail) })
    }

    /// Variables that lead a conda in a container to folders that stay and that it may write.
    fn places(&self, folder: &Path, packages: &Path) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("CONDA_PKGS_DIRS".into(), packages.into()),
            ("XDG_CACHE_HOME".into(), folder.join("cache").into()),
            // Lists of everything that was ever made are for people.
            ("CONDA_REGISTER_ENVS".into(), "false".into()),
        ];
        if !self.finder.commands.has_variable("MAMBA_ROOT_PREFIX") {
            variables.push(("MAMBA_ROOT_PREFIX".into(), folder.join("root").into()));
        }
        variables
    }

    /// What is set that decides on the environment. Where it is made there is no GPU, which conda would look for.
    fn deciding(&self) -> impl Iterator<Item = (&'static str, String)> {
        let commands = self.finder.commands;
        let set = |name: &str| commands.variable(name).and_then(|value| value.into_string().ok());
        let cuda = self.finder.settings.packages.cuda.clone().filter(|_| commands.image().is_some());
        let value = move |name| set(name).or_else(|| cuda.clone().filter(|_| name == CUDA));
        DECIDING.into_iter().filter_map(move |name| Some((name, value(name)?)))
    }

    /// What makes the environment: all that may be read by other users is on its command line, and nothing else.
    fn command(&self, environment: &Path, site: &BuildSite<'_>) -> Result<CommandLine, PythonError> {
        let packages = match &self.wish {
            Wish::File { path, .. } => return Ok(self.create_of_file(environment, path)),
            Wish::Packages(packages) => packages,
        };
        let needs_pip = !self.requirements.is_empty() && !packages.iter().any(|it| name_of(it) == "pip");
        let packages: Vec<&str> = packages.iter().map(String::as_str).chain(needs_pip.then_some("pip")).collect();
        let channels: Vec<&str> = channels(self.finder).collect();
        if channels.iter().chain(&packages).any(|text| has_secret(text)) {
            return match self.chosen.tool {
                Tool::Micromamba | Tool::Mamba => {
                    let file = site.scratch.join("environment.yml");
                    write_atomically(&file, description(&channels, &packages).as_bytes())?;
                    Ok(self.create_of_file(environment, &file))
                }
                Tool::Conda => self.create_with_settings(environment, site, &channels, &packages),
            };
        }
        Ok(self.create(environment, channels, packages))
    }

    fn create<'t>(
        &self,
        environment: &Path,
        channels: impl IntoIterator<Item = &'t str>,
        packages: impl IntoIterator<Item = &'t str>,
    ) -> CommandLine {
        CommandLine::new(&self.chosen.program)
            .arguments(["create", "--quiet", "--prefix"])
            .argument(environment)
            .arguments(["--override-channels"])
            .arguments(channels.into_iter().flat_map(|channel| ["--channel", channel]))
            .arguments(packages)
    }

    fn create_of_file(&self, environment: &Path, file: &Path) -> CommandLine {
        CommandLine::new(&self.chosen.program)
            .arguments(self.chosen.tool.create_of_file())
            .arguments(["--quiet", "--prefix"])
            .argument(environment)
            .argument("--file")
            .argument(file)
    }

    /// For conda, which makes no environment of a file without asking its usual channels: channels with secrets have names
    /// in settings beside those of the user, packages with secrets are in a list.
    fn create_with_settings(
        &self,
        environment: &Path,
        site: &BuildSite<'_>,
        channels: &[&str],
        packages: &[&str],
    ) -> Result<CommandLine, PythonError> {
        let folder = site.scratch.join("settings");
        let file = folder.join("conda/.condarc");
        let Settings { text, names } = settings(channels, packages);
        write_atomically(&file, text.as_bytes())?;
        let (secret, plain): (Vec<&str>, Vec<&str>) = packages.iter().copied().partition(|package| has_secret(package));
        let mut command = self.create(environment, names.iter().map(String::as_str), plain);
        if !secret.is_empty() {
            let list = site.scratch.join("packages.txt");
            write_atomically(&list, (secret.join("\n") + "\n").as_bytes())?;
            command = command.argument("--file").argument(list);
        }
        // One more file of settings, either way; where one of the ways is taken, it stays.
        Ok(match self.finder.commands.has_variable("CONDARC") {
            false => command.variable("CONDARC", file),
            true => command.variable("XDG_CONFIG_HOME", folder),
        })
    }

    fn run(&self, command: CommandLine) -> Result<Finished, PythonError> {
        let command =
            command.without_variables(PYTHON_VARIABLES).without_variables(["CONDA_PREFIX", "CONDA_DEFAULT_ENV"]);
        match self.finder.commands.run(command, &mut |line| (self.finder.progress)(&self.masks.scrub(line))) {
            // It is there, and does not start: it is another user's, or made for something else than the image is.
            Err(error) if self.finder.commands.image().is_some() && is_refused(&error) => {
                let why = error.source().map_or_else(|| "it does not start".to_owned(), ToString::to_string);
                Err(self.failure(format!("{why} ({})", self.chosen.origin), false))
            }
            finished => Ok(finished?),
        }
    }

    fn failure(&self, detail: String, is_transient: bool) -> PythonError {
        PythonError::Conda { tool: self.chosen.tool.name(), detail, is_transient }
    }
}

/// The channels that are asked, first to last.
fn channels<'a>(finder: &Conda<'a>) -> impl Iterator<Item = &'a str> + Clone {
    let own = &finder.settings.packages.conda_channels;
    let usual = CHANNELS.iter().copied().filter(|_| own.is_empty());
    own.iter().map(String::as_str).chain(usual)
}

/// Knows the secrets of indexes and channels.
struct Masks(Scrubber);

impl Masks {
    fn of(finder: &Conda<'_>, wish: &Wish, indexes: &Scrubber) -> Self {
        let mut scrubber = indexes.clone();
        let wished: Vec<&str> = match wish {
            Wish::File { text, .. } => vec![text],
            Wish::Packages(packages) => packages.iter().map(String::as_str).collect(),
        };
        for secret in channels(finder).chain(wished).flat_map(secrets::secrets) {
            match variable_of(&secret) {
                // A file may name one, for whoever reads it.
                Some(name) => {
                    let value = finder.commands.variable(name).and_then(|value| value.into_string().ok());
                    value.iter().for_each(|value| scrubber.add(value));
                }
                None => scrubber.add(&secret),
            }
        }
        Self(scrubber)
    }

    /// The text without secrets: those that are known, and whatever stands where a URL has one.
    fn scrub(&self, text: &str) -> String {
        masked(&self.0.scrub(text))
    }
}

/// The name in `$NAME` and `${NAME}`.
fn variable_of(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    Some(name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name))
}

/// Whether a program was not started, while its container is there.
fn is_refused(error: &CommandError) -> bool {
    match error {
        CommandError::NotFound { .. } => true,
        CommandError::Run { source, .. } => source.kind() != io::ErrorKind::Other,
        CommandError::Stopped { .. } => false,
    }
}

/// What outlives this process keeps the lock.
fn with_lock(command: CommandLine, site: &BuildSite<'_>) -> Result<CommandLine, PythonError> {
    Ok(match site.lock {
        Some(lock) => command.input(lock.for_child()?),
        None => command,
    })
}

#[cfg(test)]
#[path = "conda_tests.rs"]
mod tests;
