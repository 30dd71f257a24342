//! PyTorch: which of its indexes fits the driver of this machine.
//!
//! Nothing that a task asks for is changed. Where it does not say for which CUDA, one more index is looked at, and a
//! version that is newer than everything there is not taken from elsewhere. Where that index cannot be reached, the
//! configured ones have to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use protocols::packaging::{PackageSettings, TorchIndex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::PythonError;
use super::interpreter::PythonInterpreter;
use super::probe::PYTHON_VARIABLES;
use super::requirement_line::{package_name, pin};
use super::requirements::Requirements;
use super::store::write_atomically;
use crate::command::{CommandError, CommandLine, CommandRunner};

/// Where the indexes are; `{}` is `124` for CUDA 12.4.
const TEMPLATE: &str = "https://download.pytorch.org/whl/cu{}/";
/// The CUDAs for which PyTorch was built, the newest first.
const BUILT_FOR: [u32; 14] = [130, 129, 128, 126, 124, 121, 118, 117, 116, 115, 113, 111, 110, 102];
/// The packages that are built per CUDA.
const FAMILY: [&str; 5] = ["torch", "torchvision", "torchaudio", "torchtext", "torchcsprng"];
/// How long what an index holds is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How long it is remembered that an index cannot be reached.
const FORGIVEN: Duration = Duration::from_secs(600);

/// Prints the pages of its arguments, whatever is there, each after a line of its own.
const FETCH: &str = "import sys, urllib.request\n\
    for url in sys.argv[1:]:\n\
    \x20   try:\n\
    \x20       page = urllib.request.urlopen(url, timeout=5).read(8 << 20).decode('utf-8', 'replace')\n\
    \x20   except OSError as error:\n\
    \x20       missing = getattr(error, 'code', None) in (403, 404)\n\
    \x20       print('MISSING' if missing else 'UNREACHABLE', url)\n\
    \x20       if not missing: break\n\
    \x20   else:\n\
    \x20       print('PAGE', url)\n\
    \x20       for part in page.split('href=')[1:]:\n\
    \x20           print('FILE', part[1:].split(part[0])[0].split('#')[0].split('/')[-1])\n";

/// What is added to what the task and the configuration say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fitting {
    /// One more index.
    pub(super) index: String,
    /// Constraint lines: the newest version that is there, of packages without a pin.
    pub(super) limits: Vec<String>,
}

/// One requirement of the family.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    /// `2.1.0`, or `2.1.0+cu118`, of an exact pin.
    pin: Option<String>,
}

/// Looks for the index.
pub(super) struct Finder<'a> {
    pub(super) settings: &'a PackageSettings,
    pub(super) cache_dir: &'a Path,
    pub(super) interpreter: &'a PythonInterpreter,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

/// What one index holds of one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Page {
    /// These versions for this interpreter, as `2.5.1+cu124`.
    Versions(Vec<String>),
    /// Nothing.
    Missing,
    /// Nobody knows.
    Unreachable,
}

impl Finder<'_> {
    /// The index for these requirements; `None` where none is wanted, or none can be reached.
    pub(super) fn find(&self, requirements: &Requirements) -> Result<Option<Fitting>, PythonError> {
        let wanted = family(requirements);
        if wanted.is_empty() || self.settings.torch == TorchIndex::Ignored || requirements.has("--no-index") {
            return Ok(None);
        }
        for tag in self.tags(&wanted) {
            let index = self.index(&tag);
            let mut limits = Vec::new();
            let mut fits = true;
            for package in &wanted {
                let page = self.page(&format!("{index}{}/", package.name))?;
                match (page, &package.pin) {
                    (Page::Unreachable, _) => {
                        (self.progress)(&format!(
                            "the index of PyTorch {index} cannot be reached: taking what the configured ones have"
                        ));
                        return Ok(None);
                    }
                    (Page::Missing, _) => fits &= package.name != "torch",
                    (Page::Versions(found), Some(pin)) => fits &= found.iter().any(|version| is_pinned(version, pin)),
                    (Page::Versions(found), None) => match newest(&found) {
                        Some(newest) => limits.push(format!("{}<={newest}", package.name)),
                        None => fits &= package.name != "torch",
                    },
                }
            }
            if fits {
                let what = if tag == "cpu" { "no CUDA".to_owned() } else { format!("CUDA {tag}") };
                (self.progress)(&format!("PyTorch is taken from {index} where it is there ({what})"));
                return Ok(Some(Fitting { index, limits }));
            }
        }
        Ok(None)
    }

    /// The indexes to look at, the best one first: the one that a pin names, else those that the driver serves.
    fn tags(&self, wanted: &[Wanted]) -> Vec<String> {
        let local = wanted.iter().find_map(|package| Some(package.pin.as_ref()?.split_once('+')?.1.to_owned()));
        match (local, self.settings.cuda.as_deref().and_then(number)) {
            (Some(local), _) => vec![local],
            (None, None) => vec!["cpu".to_owned()],
            (None, Some(driver)) => {
                let served = BUILT_FOR.iter().filter(|built| **built <= driver);
                served.map(|built| format!("cu{built}")).collect()
            }
        }
    }

    fn index(&self, tag: &str) -> String {
        let template = self.settings.torch_index_template.as_deref().unwrap_or(TEMPLATE);
        let template = template.replace("cu{}", "{}");
        let url = match tag.strip_prefix("cu").filter(|_| !template.contains("{}")) {
            Some(_) => template,
            None => template.replace("{}", tag),
        };
        format!("{}/", url.trim_end_matches('/'))
    }

    /// What is at an address, from memory while that is fresh.
    fn page(&self, url: &str) -> Result<Page, PythonError> {
        let [major, minor, _] = self.interpreter.version;
        let tags = [format!("cp{major}{minor}"), "py3".to_owned()];
        let name = hex::encode(&Sha256::digest(format!("{url} {}", tags[0]))[..12]);
        let memory = self.cache_dir.join("torch").join(format!("{name}.json"));
        if let Some(page) = remembered(&memory) {
            return Ok(page);
        }
        let page = self.fetch(url, &tags)?;
        let text = serde_json::to_vec(&page).expect("a page is plain text");
        write_atomically(&memory, &text)?;
        Ok(page)
    }

    fn fetch(&self, url: &str, tags: &[String; 2]) -> Result<Page, PythonError> {
        let command = CommandLine::new(&self.interpreter.path)
            .arguments(["-I", "-c", FETCH, url])
            .directory(self.cache_dir)
            .without_variables(PYTHON_VARIABLES);
        let mut versions: Vec<String> = Vec::new();
        let mut answer = None;
        let ran = self.commands.run(command, &mut |line| match line.split_once(' ') {
            Some(("PAGE", _)) => answer = Some(Page::Versions(Vec::new())),
            Some(("MISSING", _)) => answer = Some(Page::Missing),
            Some(("FILE", file)) => versions.extend(version_of(file, tags)),
            Some(_) | None => {}
        });
        match (ran, answer) {
            (Err(CommandError::Stopped { .. }), _) => Err(PythonError::Stopped),
            (Ok(_), Some(Page::Versions(_))) => {
                versions.dedup();
                Ok(Page::Versions(versions))
            }
            (Ok(_), Some(Page::Missing)) => Ok(Page::Missing),
            (Ok(_) | Err(_), _) => Ok(Page::Unreachable),
        }
    }
}

/// What memory says, unless that is too old.
fn remembered(path: &Path) -> Option<Page> {
    let age = SystemTime::now().duration_since(fs::metadata(path).ok()?.modified().ok()?).unwrap_or_default();
    let page: Page = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let lasts = if page == Page::Unreachable { FORGIVEN } else { REMEMBERED };
    (age < lasts).then_some(page)
}

/// Requirements of the family that come from an index.
fn family(requirements: &Requirements) -> Vec<Wanted> {
    let mut found: BTreeMap<String, Wanted> = BTreeMap::new();
    for line in requirements.lines() {
        let Some(name) = package_name(line).filter(|name| FAMILY.contains(&name.as_str())) else { continue };
        if line.contains('@') || line.contains("://") {
            continue;
        }
        let pin = pin(line).and_then(|pin| {
            let (_, version) = pin.split_once("==")?;
            Some(version.split(" ;").next().unwrap_or(version).to_owned())
        });
        found.insert(name.clone(), Wanted { name, pin });
    }
    found.into_values().collect()
}

/// `12.4` and `124` as 124.
fn number(version: &str) -> Option<u32> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next()?.ok()?, parts.next()) {
        (major, Some(Ok(minor))) => Some(major * 10 + minor),
        (number, _) if number >= 60 => Some(number),
        (major, _) => Some(major * 10),
    }
}

/// The version of a wheel that this machine and interpreter take; `None` of anything else.
fn version_of(file: &str, tags: &[String; 2]) -> Option<String> {
    let file = file.replace("%2B", "+").replace("%2b", "+");
    let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
    let [_, version, python, abi, platform] = parts[..] else { return None };
    let is_python = tags.iter().any(|tag| python.split('.').any(|it| it == tag));
    let is_machine = platform.contains(std::env::consts::ARCH) || platform == "any";
    let is_here = platform == "any" || platform.contains("linux");
    // `cp313t` is for an interpreter of another kind.
    (is_python && is_machine && is_here && !abi.ends_with('t')).then(|| version.to_owned())
}

/// Whether a version is what a pin asks for; a pin without a local part takes any.
fn is_pinned(version: &str, pin: &str) -> bool {
    let public = |text: &str| text.split('+').next().unwrap_or(text).to_owned();
    if pin.contains('+') { version == pin } else { public(version) == public(pin) }
}

/// The newest of versions that are no candidates, without its local part.
fn newest(versions: &[String]) -> Option<String> {
    let key = |version: &str| -> Option<Vec<u64>> {
        version.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()
    };
    let public = versions.iter().map(|version| version.split('+').next().unwrap_or(version));
    public.filter_map(|version| Some((key(version)?, version))).max().map(|(_, version)| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_are_read_by_their_names() {
        let tags = ["cp311".to_owned(), "py3".to_owned()];
        let check =
            |file: &str, expected: Option<&str>| assert_eq!(version_of(file, &tags).as_deref(), expected, "{file}");
        let arch = std::env::consts::ARCH;
        check(&format!("torch-2.5.1%2Bcu124-cp311-cp311-linux_{arch}.whl"), Some("2.5.1+cu124"));
        check(&format!("torch-2.8.0%2Bcu128-cp311-cp311-manylinux_2_28_{arch}.whl"), Some("2.8.0+cu128"));
        check("torch-2.5.1%2Bcu124-cp311-cp311-win_amd64.whl", None);
        check(&format!("torch-2.5.1%2Bcu124-cp312-cp312-linux_{arch}.whl"), None);
        check("torch-2.5.1.tar.gz", None);
        check("hostlertorch-1.0-py3-none-any.whl", Some("1.0"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let newest = |versions: &[&str]| newest(&versions.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(newest(&["2.9.1+cu124", "2.10.0+cu124", "2.11.0rc1+cu124"]).as_deref(), Some("2.10.0"));
        assert_eq!(newest(&["2.11.0.dev20260101"]), None);
        assert!(is_pinned("2.1.0+cu118", "2.1.0") && is_pinned("2.1.0+cu118", "2.1.0+cu118"));
        assert!(!is_pinned("2.1.0+cu118", "2.1.0+cu121") && !is_pinned("2.1.1", "2.1.0"));
        assert_eq!((number("12.4"), number("118"), number("12")), (Some(124), Some(118), Some(120)));
    }
}
