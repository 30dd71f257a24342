//! Interpreters that are not on this machine, or not in an image: uv gets them, once.
//!
//! Those for images are got on this machine, too, which knows proxies, mirrors and certificates. They fit by the C
//! library that the image has, and are mounted into its containers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protocols::container::init::LibcFlavour;
use protocols::order::PythonSettings;

use super::error::PythonError;
use super::indexes::Indexes;
use super::interpreter::{PythonInterpreter, versions_below};
use super::probe::PYTHON_VARIABLES;
use super::reason;
use super::requirements::Requirements;
use super::store::write_atomically;
use super::uv::{StaticUv, UvProvider};
use crate::command::{CommandLine, CommandRunner};
use crate::file_lock::FileLock;

/// Where those of this machine are, below the caches.
const FOLDER: &str = "interpreters/managed";
/// Where those for images are, by the C library that they need.
const FOR_IMAGES: &str = "interpreters/images";
/// How long it is remembered that a version cannot be had.
const FORGIVEN: Duration = Duration::from_secs(600);

/// Gets interpreters.
pub(super) struct Managed<'a> {
    pub(super) settings: &'a PythonSettings,
    pub(super) cache_dir: &'a Path,
    pub(super) commands: &'a dyn CommandRunner,
    pub(super) progress: &'a dyn Fn(&str),
}

impl Managed<'_> {
    /// Interpreters of a version like `3.10` for where commands run, got now if need be, or the reason why there is
    /// none. `other` is one of this machine that works, with which uv can be installed; for an image it takes none.
    pub(super) fn provide(
        &self,
        version: &str,
        other: Option<&PythonInterpreter>,
    ) -> Result<Result<Vec<PathBuf>, String>, PythonError> {
        let Wanted { folder, request, place, here } = match self.wanted(version) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Err(why)),
        };
        let found = || versions_below(&folder, "cpython-", version);
        if !found().is_empty() {
            return Ok(Ok(found()));
        }
        if self.settings.without_uv || self.settings.skip_install || !version.starts_with("3.") {
            return Ok(Err(String::new()));
        }
        let refusal = folder.join(format!("{version}.refused"));
        if let Some(why) = remembered(&refusal) {
            return Ok(Err(why));
        }
        let indexes = Indexes::gather(self.settings, &Requirements::default(), here);
        let (cache_dir, commands, progress) = (self.cache_dir, self.commands, self.progress);
        let uv = match other.filter(|_| commands.image().is_none()) {
            Some(interpreter) => {
                let provider = UvProvider { cache_dir, interpreter, indexes: &indexes, commands, progress };
                provider.provide()?.ok_or_else(String::new)
            }
            None => StaticUv { cache_dir, indexes: &indexes, commands, here, progress }
                .provide()?
                .map_err(|why| format!("uv cannot be had: {why}")),
        };
        let uv = match uv {
            Ok(uv) => uv,
            Err(why) => return Ok(Err(why)),
        };
        let waiting = || progress("waiting for another task that gets the same Python");
        let lock = FileLock::acquire(&folder.join("lock"), commands, waiting)?;
        if !found().is_empty() {
            return Ok(Ok(found()));
        }
        progress(&format!("Python {version} is not {place}: getting it"));
        let mut command = CommandLine::new(uv)
            .arguments(["python", "install", "--quiet", "--install-dir"])
            .argument(&folder)
            .argument(request)
            .directory(cache_dir)
            .without_variables(PYTHON_VARIABLES)
            .input(lock.for_child()?);
        command.variables.extend(indexes.uv_variables(&cache_dir.join("uv"), here));
        // The last one counts. Nothing is put into the user's own folder of programs.
        command.variables.push(("UV_PYTHON_DOWNLOADS".into(), "manual".into()));
        command.variables.push(("UV_PYTHON_INSTALL_BIN".into(), "0".into()));
        let finished = here.run(command, &mut |_| {})?;
        if finished.is_success() && !found().is_empty() {
            return Ok(Ok(found()));
        }
        let why = reason::reason(&finished.tail, indexes.scrubber());
        write_atomically(&refusal, why.as_bytes())?;
        Ok(Err(why))
    }

    fn wanted(&self, version: &str) -> Result<Wanted<'_>, String> {
        let Some(image) = self.commands.image() else {
            return Ok(Wanted {
                folder: self.cache_dir.join(FOLDER),
                request: version.to_owned(),
                place: "on this machine".to_owned(),
                here: self.commands,
            });
        };
        let libc = image.libc.ok_or("it has neither glibc nor musl")?;
        Ok(Wanted {
            folder: self.cache_dir.join(FOR_IMAGES).join(name(libc)),
            request: format!("cpython-{version}-linux-{}-{}", std::env::consts::ARCH, name(libc)),
            place: format!("in {}", image.name),
            here: image.here,
        })
    }
}

/// What is to be got.
struct Wanted<'a> {
    folder: PathBuf,
    /// In uv's words.
    request: String,
    /// Where it is not, for people.
    place: String,
    /// Runs commands on this machine.
    here: &'a dyn CommandRunner,
}

/// As uv names it.
fn name(libc: LibcFlavour) -> &'static str {
    match libc {
        LibcFlavour::Glibc => "gnu",
        LibcFlavour::Musl => "musl",
    }
}

/// Where all interpreters for images are.
pub(super) fn for_images(cache_dir: &Path) -> PathBuf {
    cache_dir.join(FOR_IMAGES)
}

/// The folder of the installation that an interpreter belongs to, where it is one of the caches.
pub(super) fn installation(interpreter: &Path, cache_dir: &Path) -> Option<PathBuf> {
    let real = interpreter.canonicalize().unwrap_or_else(|_| interpreter.to_owned());
    let for_images = [LibcFlavour::Glibc, LibcFlavour::Musl].map(|libc| for_images(cache_dir).join(name(libc)));
    let mut roots = std::iter::once(cache_dir.join(FOLDER)).chain(for_images);
    roots.find_map(|root| {
        let name = real.strip_prefix(&root).ok()?.components().next()?;
        Some(root.join(name))
    })
}

/// The interpreter, as a copy in `folder` where it is one of the caches: an environment that must not need them cannot
/// have it there. These interpreters find their files from where they are.
pub(super) fn take_along(
    interpreter: PythonInterpreter,
    cache_dir: &Path,
    folder: &Path,
) -> Result<PythonInterpreter, PythonError> {
    let real = interpreter.path.canonicalize().unwrap_or_else(|_| interpreter.path.clone());
    let Some(installation) = installation(&real, cache_dir) else { return Ok(interpreter) };
    let into = folder.join("python");
    super::store::remove(&into)?;
    copy_tree(&installation, &into).map_err(PythonError::io("copy the interpreter to", &into))?;
    let inside = real.strip_prefix(&installation).unwrap_or(Path::new("bin/python3"));
    Ok(PythonInterpreter { path: into.join(inside), base_prefix: into, ..interpreter })
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn remembered(refusal: &Path) -> Option<String> {
    let modified = refusal.metadata().ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    fs::read_to_string(refusal).ok().filter(|_| age < FORGIVEN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;
    use crate::python::in_image::InImage;

    fn interpreter(path: PathBuf) -> PythonInterpreter {
        PythonInterpreter {
            base_prefix: path.parent().and_then(Path::parent).unwrap_or(&path).to_owned(),
            path,
            version: [3, 12, 1],
            implementation: "cpython".to_owned(),
            platform: String::new(),
        }
    }

    #[test]
    fn an_interpreter_of_the_caches_is_taken_along_and_another_is_not() {
        for root in [FOLDER, "interpreters/images/musl"] {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().canonicalize().unwrap();
            let (cache, apart) = (folder.join("cache"), folder.join("apart"));
            let bin = cache.join(root).join("cpython-3.12.1-linux/bin");
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join("python3.12"), "program").unwrap();
            std::os::unix::fs::symlink("python3.12", bin.join("python3")).unwrap();
            let of_caches = interpreter(bin.join("python3"));
            assert_eq!(installation(&of_caches.path, &cache).as_deref(), bin.parent());
            let taken = take_along(of_caches, &cache, &apart).unwrap();
            assert_eq!((taken.path, taken.base_prefix), (apart.join("python/bin/python3.12"), apart.join("python")));
            fs::remove_dir_all(&cache).unwrap();
            assert_eq!(fs::read_to_string(apart.join("python/bin/python3")).unwrap(), "program");
            let of_machine = interpreter(folder.join("usr/bin/python3"));
            assert_eq!(installation(&of_machine.path, &cache), None);
            assert_eq!(take_along(of_machine.clone(), &cache, &apart).unwrap(), of_machine);
        }
    }

    #[test]
    fn what_an_image_gets_fits_its_library() {
        let machine = SystemCommands::inheriting(Arc::default());
        let check = |libc: Option<LibcFlavour>| {
            let commands = InImage { machine: &machine, libc };
            let settings = PythonSettings::default();
            let cache_dir = Path::new("/cache");
            let managed = Managed { settings: &settings, cache_dir, commands: &commands, progress: &|_| {} };
            managed.wanted("3.12").map(|wanted| (wanted.folder, wanted.request))
        };
        let arch = std::env::consts::ARCH;
        for (libc, name) in [(LibcFlavour::Glibc, "gnu"), (LibcFlavour::Musl, "musl")] {
            let folder = Path::new("/cache/interpreters/images").join(name);
            assert_eq!(check(Some(libc)), Ok((folder, format!("cpython-3.12-linux-{arch}-{name}"))));
        }
        assert!(check(None).unwrap_err().contains("neither glibc nor musl"));
    }
}
