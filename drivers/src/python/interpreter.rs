//! Finds the interpreter that a task asks for, or the best there is.

use std::path::{Path, PathBuf};

use protocols::order::PythonSettings;
use protocols::task::Interpreter;

use super::error::PythonError;
use super::managed::Managed;
use super::probe::{Answer, Prober};
use crate::command::CommandRunner;

/// Older interpreters cannot run the SDK.
const OLDEST: [u32; 2] = [3, 6];
/// What an image without Python gets for a task that names no version.
const USUAL_VERSION: &str = "3.12";
/// Where interpreters are when `PATH` does not say, as in a service.
const USUAL_FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"];

/// An interpreter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PythonInterpreter {
    /// How to start it.
    pub(super) path: PathBuf,
    pub(super) version: [u32; 3],
    /// `cpython`, `pypy`, ..
    pub(super) implementation: String,
    /// For example `linux-x86_64`.
    pub(super) platform: String,
    /// Its installation; that of the base interpreter for one in a virtual environment.
    pub(super) base_prefix: PathBuf,
}

impl PythonInterpreter {
    pub(super) fn version_text(&self) -> String {
        let [major, minor, patch] = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// Whether it is this version or a later one.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.version[..2] >= [major, minor][..][..]
    }

    fn is(&self, version: &str) -> bool {
        let own = self.version_text();
        own == version || own.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// Decides: the configured interpreter, else the file that the task names if it is here, else its version, else
/// the machine's own Python. What was not there is said in one line. For an image that has none, one is got where
/// it `is_needed`.
pub(super) fn choose(
    wish: &Interpreter,
    is_needed: bool,
    settings: &PythonSettings,
    cache_dir: &Path,
    commands: &dyn CommandRunner,
    progress: &dyn Fn(&str),
) -> Result<PythonInterpreter, PythonError> {
    let managed = Managed { settings, cache_dir, commands, progress };
    let get = |version: &str, other: Option<&PythonInterpreter>| managed.provide(version, other);
    let prober = Prober::new(cache_dir, commands);
    let search = Search { commands, prober, usual_folders: &USUAL_FOLDERS, get: &get, is_needed };
    search.choose(wish, settings, progress)
}

/// Interpreters of a version that are got from elsewhere, or why there are none; with one that there is.
type Get<'a> = dyn Fn(&str, Option<&PythonInterpreter>) -> Result<Result<Vec<PathBuf>, String>, PythonError> + 'a;

struct Search<'a> {
    commands: &'a dyn CommandRunner,
    prober: Prober<'a>,
    usual_folders: &'a [&'a str],
    get: &'a Get<'a>,
    is_needed: bool,
}

impl Search<'_> {
    fn choose(
        &self,
        wish: &Interpreter,
        settings: &PythonSettings,
        progress: &dyn Fn(&str),
    ) -> Result<PythonInterpreter, PythonError> {
        if let Some(binary) = settings.binary.as_deref().map(str::trim).filter(|binary| !binary.is_empty()) {
            if let Some(found) = self.first(self.named(binary), None)? {
                return Ok(found);
            }
            progress(&format!("agent.python_binary is {binary}, which is no working Python: looking for another one"));
        }
        let (binary, version) = match wish {
            Interpreter::Python { .. } if settings.ignore_version => ("", None),
            Interpreter::Python { binary, version } => (binary.as_str(), version.as_deref()),
            Interpreter::Shell(_) => ("", None),
        };
        if binary.starts_with('/')
            && let Some(found) = self.first(keep_executable(self.commands, vec![PathBuf::from(binary)]), version)?
        {
            return Ok(found);
        }
        if let Some(version) = version
            && let Some(found) = self.first(self.of_version(version), Some(version))?
        {
            return Ok(found);
        }
        let Some(found) = self.first(self.any(), None)? else { return self.without(version, progress) };
        let Some(version) = version else { return Ok(found) };
        let got = match self.commands.image() {
            // Packages of the image come with its own Python alone.
            Some(_) if settings.system_site_packages => Err(String::new()),
            Some(_) | None => (self.get)(version, Some(&found))?,
        };
        let why = match got {
            Ok(candidates) => match self.first(candidates, Some(version))? {
                Some(got) => return Ok(got),
                None => " (the one that uv got does not work)".to_owned(),
            },
            Err(why) if why.is_empty() => String::new(),
            Err(why) => format!(" and cannot be had ({why})"),
        };
        let (own, path, place) = (found.version_text(), found.path.display(), self.place());
        progress(&format!(
            "Python {version}, which the task asks for, is not {place}{why}; using Python {own} ({path})"
        ));
        Ok(found)
    }

    /// Where there is none at all: an image gets one of the version that the task names, or of the usual one.
    fn without(&self, version: Option<&str>, progress: &dyn Fn(&str)) -> Result<PythonInterpreter, PythonError> {
        let Some(image) = self.commands.image() else { return Err(PythonError::NoInterpreter) };
        let none = |why: String| PythonError::NoInterpreterInImage { image: image.name.to_owned(), why };
        if !self.is_needed {
            return Err(none(String::new()));
        }
        let version = version.filter(|version| version.starts_with("3.")).unwrap_or(USUAL_VERSION);
        let why = match (self.get)(version, None)? {
            Ok(candidates) => match self.first(candidates, Some(version))? {
                Some(got) => {
                    let (own, name) = (got.version_text(), image.name);
                    progress(&format!("there is no Python in {name}: using Python {own}, which was got for it"));
                    return Ok(got);
                }
                None => "the one that uv got does not run there".to_owned(),
            },
            Err(why) => why,
        };
        let why = if why.is_empty() { why } else { format!(", and Python {version} cannot be had for it ({why})") };
        Err(none(why))
    }

    fn place(&self) -> String {
        self.commands.image().map_or_else(|| "on this machine".to_owned(), |image| format!("in {}", image.name))
    }

    /// The first candidate that works and has the version.
    fn first(&self, candidates: Vec<PathBuf>, version: Option<&str>) -> Result<Option<PythonInterpreter>, PythonError> {
        for candidate in candidates {
            let Some(answer) = self.prober.ask(&candidate)? else { continue };
            let found = interpreter(&candidate, answer);
            if found.version[..2] >= OLDEST[..] && version.is_none_or(|version| found.is(version)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A path, or a name.
    fn named(&self, binary: &str) -> Vec<PathBuf> {
        if binary.contains('/') { vec![PathBuf::from(binary)] } else { self.on_path(binary) }
    }

    /// Interpreters that are probably of a version like `3.10`, the likeliest first.
    fn of_version(&self, version: &str) -> Vec<PathBuf> {
        let name = format!("python{version}");
        let mut candidates = self.on_path(&name);
        candidates.extend(self.usual_folders.iter().map(|folder| Path::new(folder).join(&name)));
        if let Some(pyenv) = self.pyenv_root() {
            candidates.extend(versions_below(&pyenv.join("versions"), "", version));
        }
        if let Some(home) = self.home() {
            candidates.push(home.join(".local/bin").join(&name));
            candidates.extend(versions_below(&home.join(".local/share/uv/python"), "cpython-", version));
        }
        candidates.extend(self.any());
        keep_executable(self.commands, candidates)
    }

    /// The machine's own Python, then whatever has a version in its name, the newest first.
    fn any(&self) -> Vec<PathBuf> {
        let mut candidates = self.on_path("python3");
        candidates.extend(self.on_path("python"));
        candidates.extend(self.usual_folders.iter().map(|folder| Path::new(folder).join("python3")));
        for minor in (OLDEST[1]..=20).rev() {
            candidates.extend(self.on_path(&format!("python3.{minor}")));
        }
        keep_executable(self.commands, candidates)
    }

    /// Files of that name on `PATH`. pyenv's shims are scripts that choose an interpreter each time that they run:
    /// what they would choose is taken in their place.
    fn on_path(&self, name: &str) -> Vec<PathBuf> {
        let shims = self.pyenv_root().map(|root| root.join("shims"));
        let mut found = Vec::new();
        for candidate in self.commands.find_all(name) {
            if candidate.parent() == shims.as_deref() {
                found.extend(self.pyenv_choice(name));
            } else {
                found.push(candidate);
            }
        }
        found
    }

    fn pyenv_choice(&self, name: &str) -> Vec<PathBuf> {
        let Some(root) = self.pyenv_root() else { return Vec::new() };
        let from_environment = self.commands.variable("PYENV_VERSION").and_then(|text| text.into_string().ok());
        let chosen = from_environment.filter(|text| !text.is_empty());
        let chosen = chosen.or_else(|| std::fs::read_to_string(root.join("version")).ok()).unwrap_or_default();
        let versions = chosen.split([':', '\n']).map(str::trim).filter(|version| !version.is_empty());
        keep_executable(
            self.commands,
            versions.map(|version| root.join("versions").join(version).join("bin").join(name)).collect(),
        )
    }

    fn pyenv_root(&self) -> Option<PathBuf> {
        let root = self.commands.variable("PYENV_ROOT").filter(|root| !root.is_empty()).map(PathBuf::from);
        root.or_else(|| Some(self.home()?.join(".pyenv"))).filter(|root| root.is_dir())
    }

    fn home(&self) -> Option<PathBuf> {
        self.commands.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
    }
}

fn interpreter(candidate: &Path, answer: Answer) -> PythonInterpreter {
    // A wrapper script says itself what it starts.
    let path = if answer.executable.is_absolute() { answer.executable } else { candidate.to_owned() };
    PythonInterpreter {
        path,
        version: answer.version,
        implementation: answer.implementation,
        platform: answer.platform,
        base_prefix: answer.base_prefix,
    }
}

/// Interpreters in folders like `3.10.13` or `cpython-3.10.13-linux-x86_64-gnu`, the latest first.
pub(super) fn versions_below(folder: &Path, prefix: &str, version: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let start = format!("{prefix}{version}.");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<(u32, String)> = names
        .filter_map(|name| {
            let patch = name.strip_prefix(&start)?;
            let digits = patch.split(|letter: char| !letter.is_ascii_digit()).next()?;
            Some((digits.parse().ok()?, name))
        })
        .collect();
    names.sort_by(|one, other| other.cmp(one));
    names.into_iter().map(|(_, name)| folder.join(name).join("bin/python3")).collect()
}

fn keep_executable(commands: &dyn CommandRunner, candidates: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for candidate in candidates {
        if !kept.contains(&candidate) && commands.is_executable(&candidate) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;
    use crate::python::in_image::InImage;

    /// Something that answers like an interpreter of that version.
    fn write_python(path: &Path, version: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let version = version.replace('.', ", ");
        let script = format!(
            "#!/bin/sh\necho '{{\"executable\": \"{0}\", \"version\": [{version}], \
             \"implementation\": \"cpython\", \"platform\": \"linux-x86_64\", \"base_prefix\": \"/usr\"}}'\n",
            path.display()
        );
        fs::write(path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(pythons: &[(&str, &str)]) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            for (name, version) in pythons {
                write_python(&machine.0.path().join(name), version);
            }
            machine
        }

        fn commands(&self) -> SystemCommands {
            let root = self.0.path().display();
            let environment = [
                ("PATH".into(), format!("{root}/pyenv/shims:{root}/bin").into()),
                ("PYENV_ROOT".into(), format!("{root}/pyenv").into()),
            ];
            SystemCommands::new(environment, Arc::default())
        }

        fn choose(&self, binary: &str, configured: Option<&str>) -> (String, String) {
            let commands = self.commands();
            let version = binary.rsplit("python").next().filter(|it| !it.is_empty()).map(str::to_owned);
            let wish = Interpreter::Python { binary: binary.to_owned(), version };
            let settings = PythonSettings { binary: configured.map(str::to_owned), ..PythonSettings::default() };
            let lines = RefCell::new(String::new());
            let prober = Prober::new(&self.0.path().join("cache"), &commands);
            let get: &Get<'_> = &|_, _| Ok(Err(String::new()));
            let search = Search { commands: &commands, prober, usual_folders: &[], get, is_needed: true };
            let chosen = search.choose(&wish, &settings, &|line| lines.borrow_mut().push_str(line));
            (chosen.unwrap().path.strip_prefix(self.0.path()).unwrap().display().to_string(), lines.into_inner())
        }
    }

    /// Chooses on a machine that is taken for an image; what is got is `got/python3`, or there is a reason why not.
    /// What was chosen, or why nothing was; and the versions that were to be got.
    fn in_image(
        pythons: &[(&str, &str)],
        version: Option<&str>,
        is_needed: bool,
        has_packages: bool,
        why_not: Option<&str>,
    ) -> (String, Vec<String>) {
        let machine = Machine::new(pythons);
        let (commands, root) = (machine.commands(), machine.0.path());
        let commands = InImage { machine: &commands, libc: None };
        let asked = RefCell::new(Vec::new());
        let get = |version: &str, _: Option<&PythonInterpreter>| {
            asked.borrow_mut().push(version.to_owned());
            Ok(why_not.map_or_else(|| Ok(vec![root.join("got/python3")]), |why| Err(why.to_owned())))
        };
        let prober = Prober::new(&root.join("cache"), &commands);
        let search = Search { commands: &commands, prober, usual_folders: &[], get: &get, is_needed };
        let wish = Interpreter::Python { binary: String::new(), version: version.map(str::to_owned) };
        let settings = PythonSettings { system_site_packages: has_packages, ..PythonSettings::default() };
        let chosen = match search.choose(&wish, &settings, &|_| {}) {
            Ok(chosen) => chosen.path.strip_prefix(root).unwrap().display().to_string(),
            Err(error) => error.to_string(),
        };
        (chosen, asked.take())
    }

    #[test]
    fn an_image_without_python_gets_one_where_it_is_needed() {
        let got = ("got/python3", "3.12.1");
        assert_eq!(in_image(&[got], None, true, true, None), ("got/python3".into(), vec![USUAL_VERSION.into()]));
        assert_eq!(in_image(&[got], Some("3.12"), true, true, None), ("got/python3".into(), vec!["3.12".into()]));
        assert_eq!(in_image(&[got], Some("3"), true, true, None).1, [USUAL_VERSION]);
        let (error, asked) = in_image(&[got], None, false, true, None);
        assert!(error.contains("no Python 3.6 or newer in the image some/image: use") && asked.is_empty(), "{error}");
        let (error, _) = in_image(&[got], Some("3.9"), true, true, Some("nobody is there"));
        assert!(error.contains("some/image, and Python 3.9 cannot be had for it (nobody is there): use"), "{error}");
        let (error, _) = in_image(&[], None, true, true, None);
        assert!(error.contains("the one that uv got does not run there"), "{error}");
    }

    #[test]
    fn an_image_without_a_version_gets_it_unless_its_own_packages_count() {
        let pythons = [("bin/python3", "3.11.2"), ("got/python3", "3.12.1")];
        assert_eq!(in_image(&pythons, Some("3.12"), true, false, None), ("got/python3".into(), vec!["3.12".into()]));
        assert_eq!(in_image(&pythons, Some("3.12"), true, true, None), ("bin/python3".into(), vec![]));
        assert_eq!(in_image(&pythons, Some("3.11"), true, false, None), ("bin/python3".into(), vec![]));
        assert_eq!(in_image(&pythons, Some("3.12"), true, false, Some("no")).0, "bin/python3");
    }

    #[test]
    fn the_exact_version_goes_before_the_default() {
        let machine = Machine::new(&[
            ("bin/python3", "3.11.2"),
            ("bin/python3.10", "3.10.4"),
            ("pyenv/versions/3.9.1/bin/python3", "3.9.1"),
            ("pyenv/versions/3.9.18/bin/python3", "3.9.18"),
            ("pyenv/shims/python3.9", "3.12.0"),
        ]);
        let check =
            |binary: &str, expected: &str| assert_eq!(machine.choose(binary, None), (expected.into(), String::new()));
        check("python3.10", "bin/python3.10");
        check("python3.9", "pyenv/versions/3.9.18/bin/python3");
        check("python3.11", "bin/python3");
        check("python3", "bin/python3");
        check("", "bin/python3");
    }

    #[test]
    fn pyenv_is_asked_by_its_files() {
        let machine = Machine::new(&[
            ("pyenv/shims/python3", "3.6.0"),
            ("pyenv/versions/3.12.1/bin/python3", "3.12.1"),
            ("bin/python3", "3.11.2"),
        ]);
        assert_eq!(machine.choose("python3", None).0, "bin/python3");
        fs::write(machine.0.path().join("pyenv/version"), "3.12.1\n").unwrap();
        assert_eq!(machine.choose("python3", None).0, "pyenv/versions/3.12.1/bin/python3");
    }

    #[test]
    fn a_missing_version_is_said_and_replaced() {
        let machine = Machine::new(&[("bin/python3", "3.11.2"), ("bin/python3.1", "3.1.0")]);
        let (path, line) = machine.choose("python3.1", None);
        assert_eq!(path, "bin/python3");
        assert!(line.contains("Python 3.1, which the task asks for") && line.contains("3.11.2"), "{line}");
    }

    #[test]
    fn the_configured_interpreter_wins_if_it_works() {
        let machine = Machine::new(&[("bin/python3", "3.11.2"), ("own/python", "3.8.1"), ("own/old", "2.7.18")]);
        let own = machine.0.path().join("own/python").display().to_string();
        assert_eq!(machine.choose("python3.11", Some(&own)).0, "own/python");
        let old = machine.0.path().join("own/old").display().to_string();
        let (path, line) = machine.choose("python3.11", Some(&old));
        assert!(path == "bin/python3" && line.contains("agent.python_binary"), "{line}");
        // A path that the task names and that is here is what it was recorded with.
        assert_eq!(machine.choose(&own, None).0, "own/python");
    }
}
