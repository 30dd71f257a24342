//! The writable layer: what a task installs while it runs goes here, and nobody else sees it.
//!
//! A layer is a virtual environment of the attempt's own, without packages. A `.pth` file in it leads to the packages
//! of the shared environment, and its programs are those of the shared one, started with the layer's interpreter.
//! Installers see a virtual environment like any other: what is below it is "outside", which they leave alone.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::error::PythonError;
use super::store::remove;

/// Sorts before every other `.pth` file of the layer.
const PATH_FILE: &str = "_0_shared_environment.pth";
/// The kernel takes a first line of a script that is no longer than this.
const LONGEST_FIRST_LINE: usize = 127;
/// A larger program is no script.
const LARGEST_SCRIPT: u64 = 1 << 20;

/// Makes a layer over a virtual environment and returns its interpreter. What was in `layer` before is removed.
pub(super) fn make(environment: &Path, python: &Path, layer: &Path) -> Result<PathBuf, PythonError> {
    remove(layer)?;
    let maker = Maker { from: environment, to: layer };
    maker.make().map_err(PythonError::io("make", layer))?;
    let inside = python.strip_prefix(environment).unwrap_or(Path::new("bin/python"));
    Ok(layer.join(inside))
}

/// Makes a layer over an environment of conda, and returns its interpreter. As [`make`], but for the programs that are
/// no Python: these stay where they are, and are found there after the layer's own.
pub(super) fn make_over_conda(environment: &Path, python: &Path, layer: &Path) -> Result<PathBuf, PythonError> {
    remove(layer)?;
    let maker = Maker { from: environment, to: layer };
    maker.make_over_conda().map_err(PythonError::io("make", layer))?;
    Ok(layer.join("bin").join(python.file_name().unwrap_or("python".as_ref())))
}

/// What of an environment's programs goes into its layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Programs {
    All,
    /// Interpreters, and scripts for them.
    OfPython,
}

struct Maker<'a> {
    from: &'a Path,
    to: &'a Path,
}

impl Maker<'_> {
    fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.to)?;
        for entry in fs::read_dir(self.from)? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            let target = self.to.join(&name);
            match name.to_str() {
                Some("bin") => self.programs(&path, &target, Programs::All)?,
                Some("lib" | "lib64") if entry.file_type()?.is_dir() => self.libraries(&path, &target)?,
                // uv's lock of an environment: of this one, not of everybody's.
                Some(".lock") => {}
                // Interpreters look for it, and for nothing else, beside their folder.
                Some("pyvenv.cfg") => fs::copy(&path, &target).map(drop).and_then(|()| writable(&target))?,
                _ => linked(&path, &target)?,
            }
        }
        Ok(())
    }

    fn make_over_conda(&self) -> io::Result<()> {
        fs::create_dir_all(self.to)?;
        // What makes a virtual environment of it, for Python and for installers.
        let settings = format!("home = {}\ninclude-system-site-packages = false\n", self.from.join("bin").display());
        fs::write(self.to.join("pyvenv.cfg"), settings)?;
        self.programs(&self.from.join("bin"), &self.to.join("bin"), Programs::OfPython)?;
        for entry in fs::read_dir(self.from.join("lib"))? {
            let entry = entry?;
            let packages = entry.path().join("site-packages");
            if packages.is_dir() && !entry.file_type()?.is_symlink() {
                self.way_to(&packages, &self.to.join("lib").join(entry.file_name()).join("site-packages"))?;
            }
        }
        Ok(())
    }

    /// `lib/python3.X/site-packages` is empty but for the way to the shared one; what else is there is linked.
    fn libraries(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (packages, target) = (entry.path().join("site-packages"), to.join(entry.file_name()));
            if !packages.is_dir() {
                linked(&entry.path(), &target)?;
                continue;
            }
            self.way_to(&packages, &target.join("site-packages"))?;
        }
        Ok(())
    }

    /// Read as a folder of packages, so that `.pth` files in it count too.
    fn way_to(&self, packages: &Path, own: &Path) -> io::Result<()> {
        fs::create_dir_all(own)?;
        // Python reads such a file as the locale says, which may know no letters but those of ASCII.
        let place: String = packages.to_string_lossy().chars().map(escaped).collect();
        fs::write(own.join(PATH_FILE), format!("import site; site.addsitedir(\"{place}\")\n"))
    }

    /// Scripts that name the shared environment get the layer's name instead; what is no such script is linked.
    fn programs(&self, from: &Path, to: &Path, which: Programs) -> io::Result<()> {
        fs::create_dir(to)?;
        let old = self.from.to_string_lossy();
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            let metadata = entry.metadata()?;
            let is_python = entry.file_name().as_bytes().starts_with(b"python");
            if metadata.is_symlink() && (is_python || which == Programs::All) {
                // `python` to an interpreter of the machine, `python3` to `python`.
                symlink(fs::read_link(&path)?, &target)?;
                continue;
            }
            match script(&path, &metadata).filter(|text| names(text, &old, which)) {
                Some(text) => {
                    let text = self.redirected(&text, &old);
                    let mode = metadata.permissions().mode() | 0o200;
                    let mut file = fs::File::options().write(true).create_new(true).mode(mode).open(&target)?;
                    io::Write::write_all(&mut file, text.as_bytes())?;
                }
                None if is_python || which == Programs::All => symlink(&path, &target)?,
                None => {}
            }
        }
        Ok(())
    }

    fn redirected(&self, text: &str, old: &str) -> String {
        let new = self.to.to_string_lossy();
        let text = text.replace(old, &new);
        let first = text.lines().next().unwrap_or_default();
        let interpreter = first.strip_prefix("#!").filter(|interpreter| interpreter.starts_with(&*new));
        match interpreter {
            Some(interpreter) if first.len() > LONGEST_FIRST_LINE || interpreter.contains(' ') => {
                // Read by the shell as a command, by Python as a text that means nothing.
                let body = text.split_once('\n').map_or("", |(_, body)| body);
                format!("#!/bin/sh\n'''exec' \"{interpreter}\" \"$0\" \"$@\"\n' '''\n{body}")
            }
            Some(_) | None => text,
        }
    }
}

/// A character in a text of Python.
fn escaped(character: char) -> String {
    match character {
        '"' | '\\' => format!("\\{character}"),
        ' '..='~' => character.to_string(),
        other => format!("\\U{:08x}", u32::from(other)),
    }
}

/// Whether a script is one of the environment's: `old` is its name.
fn names(script: &str, old: &str, which: Programs) -> bool {
    let first = script.lines().take(2).find(|line| line.contains(old));
    match which {
        Programs::All => script.contains(old),
        Programs::OfPython => first.is_some_and(|line| line.contains("/python")),
    }
}

fn script(path: &Path, metadata: &Metadata) -> Option<String> {
    if metadata.len() > LARGEST_SCRIPT {
        return None;
    }
    fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// A tree of folders like the one given, with links for its files: what is added or replaced in it stays in it.
fn linked(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !metadata.is_dir() {
        return symlink(from, to);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        linked(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn writable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(folder: &Path) -> PathBuf {
        let environment = folder.join("shared");
        fs::create_dir_all(environment.join("lib/python3.11/site-packages/six")).unwrap();
        fs::create_dir_all(environment.join("share/doc")).unwrap();
        fs::create_dir_all(environment.join("bin")).unwrap();
        symlink("lib", environment.join("lib64")).unwrap();
        symlink("/usr/bin/python3", environment.join("bin/python")).unwrap();
        let first = format!("#!{}/bin/python\nimport six\n", environment.display());
        for (name, text) in [("bin/tool", first.as_str()), ("bin/other", "#!/bin/sh\n"), ("share/doc/a", "a")] {
            fs::write(environment.join(name), text).unwrap();
        }
        fs::write(environment.join("pyvenv.cfg"), "home = /usr/bin\n").unwrap();
        environment
    }

    #[test]
    fn a_layer_looks_like_what_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let (shared, layer) = (environment(folder.path()), folder.path().join("layer"));
        let python = make(&shared, &shared.join("bin/python"), &layer).unwrap();
        assert_eq!(python, layer.join("bin/python"));
        let read = |name: &str| fs::read_to_string(layer.join(name)).unwrap();
        assert_eq!(read("bin/tool"), format!("#!{}/bin/python\nimport six\n", layer.display()));
        assert_eq!(fs::read_link(layer.join("bin/other")).unwrap(), shared.join("bin/other"));
        assert_eq!(fs::read_link(layer.join("bin/python")).unwrap(), Path::new("/usr/bin/python3"));
        assert!(read("lib64/python3.11/site-packages/_0_shared_environment.pth").contains("shared/lib/python3.11"));
        assert!(!layer.join("lib/python3.11/site-packages/six").exists());
        // What replaces a file of the layer replaces a link.
        fs::remove_file(layer.join("share/doc/a")).unwrap();
        fs::write(layer.join("share/doc/a"), "b").unwrap();
        assert_eq!(fs::read_to_string(shared.join("share/doc/a")).unwrap(), "a");
        // Made again, it is as new.
        fs::write(layer.join("left-over"), "").unwrap();
        make(&shared, &shared.join("bin/python"), &layer).unwrap();
        assert!(!layer.join("left-over").exists());
    }

    /// With the machine's own interpreter, in the folders that conda would give it.
    #[test]
    fn a_layer_over_conda_is_a_virtual_environment() {
        let folder = tempfile::tempdir().unwrap();
        let (conda, layer) = (folder.path().join("conda"), folder.path().join("layer"));
        let question =
            "import os, sys, sysconfig; print(os.path.realpath(sys.executable), sysconfig.get_path('stdlib'))";
        let ask = |python: &Path, question: &str| {
            let output = std::process::Command::new(python).args(["-I", "-c", question]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let answer = ask(Path::new("python3"), question);
        let (real, library) =
            answer.split_once(' ').map(|(real, library)| (Path::new(real), Path::new(library))).unwrap();
        let name = library.file_name().unwrap();
        let packages = conda.join("lib").join(name).join("site-packages");
        for folder in [&packages, &conda.join("bin"), &conda.join("conda-meta")] {
            fs::create_dir_all(folder).unwrap();
        }
        for entry in fs::read_dir(library).unwrap().map(Result::unwrap) {
            if entry.file_name() != "site-packages" {
                symlink(entry.path(), conda.join("lib").join(name).join(entry.file_name())).unwrap();
            }
        }
        fs::copy(real, conda.join("bin").join(name)).unwrap();
        symlink(name, conda.join("bin/python")).unwrap();
        fs::write(packages.join("beneath.py"), "").unwrap();
        let first = format!("#!{}/bin/python\nimport beneath\n", conda.display());
        for (name, text) in [("tool", first.as_str()), ("other", "#!/bin/sh\n")] {
            fs::write(conda.join("bin").join(name), text).unwrap();
        }
        let python = make_over_conda(&conda, &conda.join("bin/python"), &layer).unwrap();
        let question =
            "import beneath, sys, sysconfig; print(sys.prefix, sys.base_prefix, sysconfig.get_path('purelib'))";
        let own = layer.join("lib").join(name).join("site-packages");
        assert_eq!(ask(&python, question), format!("{} {} {}", layer.display(), conda.display(), own.display()));
        assert!(fs::read_to_string(layer.join("bin/tool")).unwrap().contains(&*layer.to_string_lossy()));
        assert!(!layer.join("bin/other").exists());
    }

    #[test]
    fn a_long_first_line_goes_through_the_shell() {
        let folder = tempfile::tempdir().unwrap();
        let (shared, layer) = (environment(folder.path()), folder.path().join("a layer").join("x".repeat(120)));
        make(&shared, &shared.join("bin/python"), &layer).unwrap();
        let text = fs::read_to_string(layer.join("bin/tool")).unwrap();
        let expected =
            format!("#!/bin/sh\n'''exec' \"{}/bin/python\" \"$0\" \"$@\"\n' '''\nimport six\n", layer.display());
        assert_eq!(text, expected);
    }
}
