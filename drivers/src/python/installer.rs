//! Builds one environment: with uv where it can be had, else with the interpreter's own `venv` and pip.

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;

use super::error::PythonError;
use super::flags::Flags;
use super::from_git::Copies;
use super::in_order::Order;
use super::indexes::Indexes;
use super::inputs::{Inputs, NOT_FOR_UV, for_any_pip, write_input};
use super::installed;
use super::interpreter::PythonInterpreter;
use super::line_options::{PipVersion, has_options, readable};
use super::probe::PYTHON_VARIABLES;
use super::reason;
use super::requirement_line::logical_lines;
use super::requirements::{Requirements, Source, without_hashes};
use super::seeds::SEEDS;
use super::store::{BuildSite, Built, FORMAT, Question, Recipe};
use super::uv::UvProvider;
use crate::command::{CommandLine, CommandRunner, Finished};
use crate::file_lock::FileLock;
use crate::git::PackageAccess;
use crate::scrub::scrub_urls;

/// Requirement options that say where packages come from.
const INDEX_OPTIONS: [&str; 4] = ["--index-url", "--extra-index-url", "--find-links", "--no-index"];

/// All that decides on an environment, and the means to build it.
pub(super) struct Installer<'a> {
    pub(super) cache_dir: &'a Path,
    /// Where uv keeps what it downloaded and unpacked.
    pub(super) downloads: &'a Path,
    pub(super) settings: &'a PythonSettings,
    pub(super) interpreter: &'a PythonInterpreter,
    pub(super) requirements: &'a Requirements,
    /// In which order; more of it is learnt when a build fails.
    pub(super) order: RefCell<Order>,
    /// With what; empty before it was looked for.
    pub(super) engine: OnceCell<Engine>,
    pub(super) indexes: &'a Indexes,
    /// Where packages from git come from; absent where there are none.
    pub(super) repositories: Option<&'a PackageAccess<'a>>,
    /// Those that stand for them, where some do; empty before that was asked.
    pub(super) copies: OnceCell<Option<Copies<'a>>>,
    pub(super) working_dir: Option<&'a Path>,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

#[derive(Clone)]
pub(super) enum Engine {
    Uv(PathBuf),
    Pip {
        /// Of which version; known where requirements have options of their own.
        version: Option<PipVersion>,
    },
}

/// One folder being filled.
pub(super) struct Site<'a> {
    pub(super) environment: PathBuf,
    pub(super) python: PathBuf,
    /// Where the installer runs.
    pub(super) folder: &'a Path,
    /// For input files, which may hold passwords.
    pub(super) scratch: &'a Path,
    lock: Option<&'a FileLock>,
    stands_alone: bool,
}

impl<'a> Site<'a> {
    fn new(site: &BuildSite<'a>) -> Self {
        let environment = site.folder.join("venv");
        Self {
            python: environment.join("bin/python"),
            environment,
            folder: site.folder,
            scratch: site.scratch,
            lock: site.lock,
            stands_alone: site.stands_alone,
        }
    }
}

impl Recipe for Installer<'_> {
    fn question(&self) -> Question {
        let mut lines = self.kind();
        lines.extend(self.requirements.canonical());
        Question::new(lines)
    }

    fn kind(&self) -> Vec<String> {
        let mut lines = self.machine();
        lines.extend(self.requirements.canonical_options());
        lines.extend(Order::of(&self.settings.packages, self.requirements).lines());
        lines
    }

    fn question_of_clone(&self, built: &Built) -> Option<Question> {
        // What came from an index that the task named is not what others would get under that name.
        let has_own_index = INDEX_OPTIONS.iter().any(|option| self.requirements.has(option));
        let requirements = Requirements::read(&Source::Lines(&built.packages), None, &|_| {}).ok()?;
        // Nor is what was built in a way that the task asked for.
        let is_special = self.requirements.texts().any(has_options);
        if has_own_index || is_special || requirements.is_empty() || requirements.is_local() {
            return None;
        }
        let mut lines = self.machine();
        lines.extend(Order::of(&self.settings.packages, &requirements).lines());
        lines.extend(requirements.canonical());
        Some(Question::new(lines))
    }

    fn names(&self) -> Result<Option<Vec<String>>, PythonError> {
        let is_resolved = matches!(self.choose_engine()?, Engine::Uv(_)) && self.is_resolvable();
        Ok(is_resolved.then(|| self.requirements.names()))
    }

    fn is_moving(&self) -> bool {
        self.requirements.is_moving() && !self.requirements.has_credentials()
    }

    fn is_for_an_image(&self) -> bool {
        self.commands.image().is_some()
    }

    fn resolve(&self, site: &BuildSite<'_>) -> Result<Option<Vec<String>>, PythonError> {
        let Engine::Uv(uv) = self.choose_engine()? else { return Ok(None) };
        if !self.is_resolvable() {
            return Ok(None);
        }
        let site = Site::new(site);
        let inputs = self.write_inputs(&Engine::Uv(uv.clone()), &site, self.requirements)?;
        let output = site.scratch.join("resolution.txt");
        let first = self.beside_seeds(&uv, &site, || self.run_resolve(&uv, &site, &inputs, None, &output))?;
        let mut is_done = first.is_success();
        if !is_done && let Some(pins) = self.contradicting_pins(&site, &first)? {
            is_done = self.run_resolve(&uv, &site, &inputs, Some(&pins), &output)?.is_success();
        }
        if !is_done && self.learns_order(&first) {
            return Ok(None);
        }
        if !is_done {
            return Err(self.failure(&site, &first)?);
        }
        let text = fs::read_to_string(&output).map_err(PythonError::io("read", &output))?;
        Ok(Some(self.originals(logical_lines([text.as_str()]))))
    }

    fn build(&self, site: &BuildSite<'_>, resolution: Option<&[String]>) -> Result<Built, PythonError> {
        let python_version = self.interpreter.version_text();
        (self.progress)(&format!("building an environment with Python {python_version}"));
        let engine = self.choose_engine()?;
        let site = Site::new(site);
        fs::create_dir_all(site.scratch).map_err(PythonError::io("make", site.scratch))?;
        self.create(&engine, &site)?;
        let mut is_seeded = false;
        match (&engine, resolution) {
            (Engine::Uv(uv), Some(resolution)) => is_seeded = self.install_resolution(uv, &site, resolution)?,
            (Engine::Uv(_) | Engine::Pip { .. }, _) if self.requirements.is_empty() => {}
            (Engine::Uv(_), None) if self.is_resolvable() => is_seeded = self.install_with_seeds(&engine, &site)?,
            (Engine::Uv(uv), None) => self.beside_seeds(uv, &site, || self.install(&engine, &site))?,
            (Engine::Pip { .. }, _) => match self.copies(&site) {
                Some(copies) => {
                    copies.with_local_projects(self.requirements.lines(), || self.install(&engine, &site))?;
                }
                None => self.install(&engine, &site)?,
            },
        }
        self.name_origins(&site)?;
        let names = self.requirements.names();
        let left_out: Vec<&str> = SEEDS.into_iter().filter(|seed| !names.iter().any(|name| name == seed)).collect();
        let mut packages = installed::packages(&site.environment, &left_out);
        packages.extend(self.requirements.local_originals().iter().cloned());
        if let (Engine::Uv(uv), false) = (&engine, is_seeded) {
            self.seed(uv, &site)?;
        }
        Ok(Built { program: PathBuf::from("venv/bin/python"), python_version, packages })
    }
}

impl Installer<'_> {
    /// Inputs that are not the task's, without secrets.
    fn machine(&self) -> Vec<String> {
        let interpreter = self.interpreter;
        let image = self.commands.image();
        let real = match image {
            Some(_) => interpreter.path.clone(),
            None => interpreter.path.canonicalize().unwrap_or_else(|_| interpreter.path.clone()),
        };
        let mut lines = vec![
            format!("format: {FORMAT}"),
            format!("interpreter: {}", real.display()),
            format!("python: {} {}", interpreter.implementation, interpreter.version_text()),
            format!("platform: {}", interpreter.platform),
            format!("base: {}", interpreter.base_prefix.display()),
            format!("system site packages: {}", self.settings.system_site_packages),
        ];
        lines.extend(self.flags().for_pip().map(|flag| format!("flag: {}", scrub_urls(flag))));
        lines.extend(image.map(|image| format!("image: {}", image.id)));
        lines.extend(self.indexes.canonical());
        lines
    }

    /// Whether the exact versions can be had beforehand. Not of requirements with passwords: uv takes them out of what
    /// it prints. Nor of those with hashes: they are kept by installing, and what was resolved would have hashes of its
    /// own. And what an order or a flag makes of them is known when they are installed.
    fn is_resolvable(&self) -> bool {
        let requirements = self.requirements;
        let has_hashes = requirements.has("--require-hashes") || requirements.has_hashes();
        let is_plain = !requirements.is_empty() && !requirements.has_credentials() && !has_hashes;
        is_plain && !self.order.borrow().matters() && self.flags().is_empty()
    }

    fn flags(&self) -> Flags {
        Flags::read(&self.settings.packages.extra_flags)
    }

    pub(super) fn choose_engine(&self) -> Result<Engine, PythonError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine.clone());
        }
        let engine = self.find_engine()?;
        self.say_left_out(&engine);
        Ok(self.engine.get_or_init(|| engine).clone())
    }

    fn find_engine(&self) -> Result<Engine, PythonError> {
        let version = self.pip_for_options()?;
        // uv does not count packages of the machine as installed, and needs a Python that is still maintained.
        let is_for_pip = self.settings.without_uv
            || (self.settings.system_site_packages && self.makes_venvs())
            || !self.interpreter.is_at_least(3, 8)
            || self.requirements.has("--use-feature")
            || version.is_some_and(|pip| self.makes_venvs() && self.has_options_for(pip))
            || !self.flags().is_for_uv();
        if is_for_pip {
            return Ok(Engine::Pip { version });
        }
        let provider = UvProvider {
            cache_dir: self.cache_dir,
            interpreter: self.interpreter,
            indexes: self.indexes,
            commands: self.commands,
            progress: self.progress,
        };
        Ok(provider.provide()?.map_or(Engine::Pip { version }, Engine::Uv))
    }

    /// Whether the interpreter can do without uv, as far as that is known.
    fn makes_venvs(&self) -> bool {
        self.commands.image().is_none_or(|image| image.makes_venvs)
    }

    fn create(&self, engine: &Engine, site: &Site<'_>) -> Result<(), PythonError> {
        let python = &self.interpreter.path;
        let shared = self.settings.system_site_packages.then_some("--system-site-packages");
        let command = match engine {
            Engine::Uv(uv) => {
                let command = CommandLine::new(uv).arguments(["venv", "--quiet", "--no-project"]).arguments(shared);
                command.argument("--python").argument(python)
            }
            Engine::Pip { .. } => CommandLine::new(python).arguments(["-m", "venv"]).arguments(shared),
        };
        let finished = self.run(engine, site, command.argument(&site.environment).directory(site.folder))?;
        if finished.is_success() {
            return Ok(());
        }
        self.check_disk(site, &finished)?;
        // Its name stands in every failure of a program that is called so.
        let missing = ["ensurepip is not available", "No module named ensurepip", "No module named venv"];
        if finished.tail.iter().any(|line| missing.iter().any(|text| line.contains(text))) {
            let [major, minor, _] = self.interpreter.version;
            return Err(PythonError::NoVenv { python: python.clone(), package: format!("python{major}.{minor}-venv") });
        }
        let detail = reason::reason(&finished.tail, self.indexes.scrubber());
        Err(PythonError::Create { python: python.clone(), detail })
    }

    fn install(&self, engine: &Engine, site: &Site<'_>) -> Result<(), PythonError> {
        if self.order.borrow().matters() {
            return self.install_in_order(engine, site);
        }
        let failed = self.install_part(engine, site, self.requirements, &[])?;
        self.install_otherwise(engine, site, failed)
    }

    /// Does what can be done after a failure, if there was one.
    pub(super) fn install_otherwise(
        &self,
        engine: &Engine,
        site: &Site<'_>,
        failed: Option<Finished>,
    ) -> Result<(), PythonError> {
        match failed {
            None => Ok(()),
            Some(failed) if matches!(engine, Engine::Uv(_)) && self.learns_order(&failed) => {
                self.install_in_order(engine, site)
            }
            Some(failed) => Err(self.failure(site, &failed)?),
        }
    }

    /// Installs all or some of the requirements, with flags beside those that are configured. What failed, if
    /// something did.
    pub(super) fn install_part(
        &self,
        engine: &Engine,
        site: &Site<'_>,
        requirements: &Requirements,
        beside: &[String],
    ) -> Result<Option<Finished>, PythonError> {
        let inputs = self.write_inputs(engine, site, requirements)?;
        let first = self.run_install(engine, site, &inputs, None, beside)?;
        if first.is_success() { Ok(None) } else { self.install_contradicting(engine, site, &inputs, beside, first) }
    }

    /// Installs pins that contradict each other as they are, where that is why it failed. What failed, if it did not
    /// help.
    pub(super) fn install_contradicting(
        &self,
        engine: &Engine,
        site: &Site<'_>,
        inputs: &Inputs,
        beside: &[String],
        first: Finished,
    ) -> Result<Option<Finished>, PythonError> {
        let Some(pins) = self.contradicting_pins(site, &first)? else { return Ok(Some(first)) };
        let is_done = self.run_install(engine, site, inputs, Some(&pins), beside)?.is_success();
        Ok((!is_done).then_some(first))
    }

    pub(super) fn write_inputs(
        &self,
        engine: &Engine,
        site: &Site<'_>,
        requirements: &Requirements,
    ) -> Result<Inputs, PythonError> {
        let constraints = self.stand_in(site, requirements.constraints_text())?;
        let (text, constraints) = match engine {
            Engine::Uv(_) => (readable(&requirements.file_text(&NOT_FOR_UV), None), readable(&constraints, None)),
            Engine::Pip { version } => {
                let read = |text: &str| if version.is_some() { readable(text, *version) } else { text.to_owned() };
                (self.text_for_pip(requirements, &read), read(&constraints))
            }
        };
        let text = self.stand_in(site, text)?;
        let requirements = write_input(site.scratch, "requirements.txt", &text)?;
        let constraints = match constraints.is_empty() {
            true => None,
            false => Some(write_input(site.scratch, "constraints.txt", &constraints)?),
        };
        let inputs = Inputs { requirements, constraints, overrides: None };
        match engine {
            Engine::Uv(_) => self.add_overrides(site, inputs),
            Engine::Pip { .. } => Ok(inputs),
        }
    }

    fn text_for_pip(&self, requirements: &Requirements, read: &dyn Fn(&str) -> String) -> String {
        let text = for_any_pip(&read(&requirements.file_text(&[])));
        // pip wants a hash of all or of none, and there is none of what lies in a folder or comes from git.
        if requirements.lacks_hashes() {
            (self.progress)("pip checks the hashes of all packages or of none: with one from git, it checks none");
            return without_hashes(&text);
        }
        text
    }

    /// A set of pins that contradict each other, which `pip freeze` of a working environment often is, is installed
    /// as it is: what was pinned is what ran. Everything that is not pinned is still resolved.
    fn contradicting_pins(&self, site: &Site<'_>, failed: &Finished) -> Result<Option<PathBuf>, PythonError> {
        let pins = self.requirements.pins_text();
        if pins.is_empty() || !reason::is_conflict(&failed.tail) {
            return Ok(None);
        }
        (self.progress)("the pinned packages contradict each other's dependencies: installing them as they are pinned");
        write_input(site.scratch, "pins.txt", &pins).map(Some)
    }

    fn run_resolve(
        &self,
        uv: &Path,
        site: &Site<'_>,
        inputs: &Inputs,
        pins: Option<&Path>,
        output: &Path,
    ) -> Result<Finished, PythonError> {
        let mut command = CommandLine::new(uv)
            .arguments(["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--python"])
            .argument(&self.interpreter.path);
        if self.requirements.has("--pre") {
            command = command.arguments(["--prerelease", "allow"]);
        }
        for overrides in pins.into_iter().chain(inputs.overrides.as_deref()) {
            command = command.argument("--override").argument(overrides);
        }
        if let Some(constraints) = &inputs.constraints {
            command = command.argument("-c").argument(constraints);
        }
        let command = command.argument("--output-file").argument(output).argument(&inputs.requirements);
        // The answer is in the file; shown is what else it says.
        let command = self.dressed(command.directory(site.scratch), site, self.uv_variables())?;
        let scrubber = self.indexes.scrubber();
        let finished = self.commands.run(command, &mut |line| {
            if !is_part_of_resolution(line) {
                (self.progress)(&scrubber.scrub(line));
            }
        })?;
        Ok(finished)
    }

    pub(super) fn run_install(
        &self,
        engine: &Engine,
        site: &Site<'_>,
        inputs: &Inputs,
        pins: Option<&Path>,
        beside: &[String],
    ) -> Result<Finished, PythonError> {
        let flags = self.flags();
        let mut command = match engine {
            Engine::Uv(uv) => {
                let mut command = CommandLine::new(uv).arguments(["pip", "install", "--python"]).argument(&site.python);
                if self.requirements.has("--pre") {
                    command = command.arguments(["--prerelease", "allow"]);
                }
                if self.requirements.has("--require-hashes") {
                    command = command.argument("--require-hashes");
                }
                for overrides in pins.into_iter().chain(inputs.overrides.as_deref()) {
                    command = command.argument("--override").argument(overrides);
                }
                command.arguments(flags.for_uv())
            }
            Engine::Pip { .. } => {
                let resolver = pins.map(|_| "--use-deprecated=legacy-resolver");
                let command = CommandLine::new(&site.python).arguments(["-m", "pip", "install"]).arguments(resolver);
                command.arguments(flags.for_pip())
            }
        };
        command = command.arguments(beside).argument("-r").argument(&inputs.requirements);
        if let Some(constraints) = &inputs.constraints {
            command = command.argument("-c").argument(constraints);
        }
        // A shared environment must not depend on where it was built: no project file may be found from there.
        let is_private = self.requirements.is_local();
        let directory = self.working_dir.filter(|_| is_private).unwrap_or(site.folder);
        self.run(engine, site, command.directory(directory))
    }

    pub(super) fn uv_variables(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        self.indexes.uv_variables(self.downloads, self.commands)
    }

    pub(super) fn run(&self, engine: &Engine, site: &Site<'_>, command: CommandLine) -> Result<Finished, PythonError> {
        let variables = match engine {
            Engine::Uv(_) if site.stands_alone => {
                let copies = ("UV_LINK_MODE".into(), "copy".into());
                self.uv_variables().into_iter().chain([copies]).collect()
            }
            Engine::Uv(_) => self.uv_variables(),
            Engine::Pip { .. } if self.commands.image().is_some() => self.indexes.pip_variables_in_image(),
            Engine::Pip { .. } => self.indexes.pip_variables(),
        };
        let command = self.dressed(command, site, variables)?;
        let scrubber = self.indexes.scrubber();
        Ok(self.commands.run(command, &mut |line| (self.progress)(&scrubber.scrub(line)))?)
    }

    pub(super) fn dressed(
        &self,
        mut command: CommandLine,
        site: &Site<'_>,
        variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<CommandLine, PythonError> {
        command = command.without_variables(PYTHON_VARIABLES);
        command = command.without_variables(["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "CONDA_PREFIX", "UV_PROJECT"]);
        command.variables.extend(variables);
        if let Some(lock) = site.lock {
            // An installer whose parent was killed keeps the lock until it is dead too.
            command = command.input(lock.for_child()?);
        }
        Ok(command)
    }
}

/// uv prints a resolution even where it writes it to a file.
fn is_part_of_resolution(line: &str) -> bool {
    line.trim_start().starts_with("--hash=") || (line.contains("==") && !line.contains(": "))
}
