//! Projects of the task's own code that need packages from git, for installers that take it only from their files.
//!
//! The files name folders while an installer reads them, and are as they were before afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};
use url::Url;

use super::super::error::PythonError;
use super::super::requirement_line::local_path;
use super::project_files::{self, Wanted};
use super::{Copies, origins};
use crate::git::PackageSource;

/// Files that are other ones for as long as this is there.
pub(in crate::python) struct Swapped {
    /// With what is to be in them again; nothing where there was no file.
    kept: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Swapped {
    fn keep(&mut self, path: &Path) {
        self.kept.push((path.to_owned(), fs::read(path).ok()));
    }

    /// Gives the files back.
    pub(in crate::python) fn restore(mut self) -> Result<(), PythonError> {
        std::mem::take(&mut self.kept).iter().try_for_each(put_back)
    }
}

impl Drop for Swapped {
    /// Where something went wrong, which is told already.
    fn drop(&mut self) {
        for kept in &self.kept {
            let _ = put_back(kept);
        }
    }
}

fn put_back((path, bytes): &(PathBuf, Option<Vec<u8>>)) -> Result<(), PythonError> {
    match bytes {
        Some(bytes) => fs::write(path, bytes).map_err(PythonError::io("write", path)),
        None => super::super::store::remove(path),
    }
}

impl Copies<'_> {
    /// Has the files of a project of uv, and those of its workspace, name folders. The lock is uv's to write then.
    /// Commits that it has decided on before are taken.
    pub(in crate::python) fn swap_for_lock(&self, folder: &Path) -> Result<Swapped, PythonError> {
        let lock = folder.join("uv.lock");
        let decided = sources(&fs::read_to_string(&lock).unwrap_or_default());
        let mut swapped = Swapped { kept: Vec::new() };
        swapped.keep(&lock);
        for project in std::iter::once(folder.to_owned()).chain(project_files::members(folder)) {
            self.swap(&project, Wanted::Everything, &decided, &mut swapped)?;
        }
        Ok(swapped)
    }

    /// Runs pip on requirement lines: what projects of the task's own code need, it takes only from their files.
    pub(in crate::python) fn with_local_projects<T>(
        &self,
        lines: &[String],
        install: impl FnOnce() -> Result<T, PythonError>,
    ) -> Result<T, PythonError> {
        let mut swapped = Swapped { kept: Vec::new() };
        for (folder, wanted) in local_projects(lines) {
            self.swap(folder, wanted, &[], &mut swapped)?;
        }
        let installed = install();
        swapped.restore()?;
        for (folder, _) in local_projects(lines) {
            origins::restore_in_project(folder, &self.made.borrow())?;
        }
        installed
    }

    fn swap(
        &self,
        project: &Path,
        wanted: Wanted,
        decided: &[(PackageSource, String)],
        swapped: &mut Swapped,
    ) -> Result<(), PythonError> {
        let text = fs::read_to_string(project.join("pyproject.toml")).unwrap_or_default();
        let is_with_extras = |name: &str| text.contains(&format!("{name}["));
        let mut stopped = None;
        let mut replace = |name: Option<&str>, source: &PackageSource| {
            let is_it = |(other, _): &&(PackageSource, String)| {
                other.is_beside(source) && other.requested() == source.requested()
            };
            let commit = decided.iter().find(is_it).map(|(_, commit)| source.at(commit));
            let wanted = if name.is_some_and(is_with_extras) { Wanted::Extras } else { Wanted::NoExtras };
            let what = project.file_name().unwrap_or_default().to_string_lossy();
            self.folder_for(commit.as_ref().unwrap_or(source), wanted, &what, &mut stopped)
        };
        let mut keep = |path: &Path, text: String| swapped.kept.push((path.to_owned(), Some(text.into_bytes())));
        project_files::rewrite(project, wanted, &mut replace, &mut keep)?;
        stopped.map_or(Ok(()), Err)
    }

    /// Requirement lines with the commits instead of the folders, and with names in front of them: those that a lock of
    /// uv has.
    pub(in crate::python) fn named_originals(&self, lines: &[String], lock: &str) -> Vec<String> {
        let names = directories(lock);
        let made = self.made.borrow();
        let original = |line: &String| {
            let Some(copy) = made.iter().find(|copy| line.contains(&copy.mark)) else { return line.clone() };
            let name =
                names.iter().find(|(directory, _)| directory.contains(&copy.mark)).map(|(_, name)| name.as_str());
            with_origin(line, &copy.mark, name, &copy.source.at(&copy.commit).requirement())
        };
        lines.iter().map(original).collect()
    }
}

/// The folders of the projects that requirement lines name, and what is wanted of them.
fn local_projects(lines: &[String]) -> impl Iterator<Item = (&Path, Wanted)> {
    let lines = lines.iter().map(|line| line.strip_prefix("-e ").unwrap_or(line));
    lines.filter_map(|line| {
        let folder = local_path(line).map(Path::new).filter(|folder| folder.is_dir())?;
        Some((folder, Wanted::of(line)))
    })
}

/// A line with its origin instead of the word that has the mark, a URL or a path from wherever, and a name before it.
fn with_origin(line: &str, mark: &str, name: Option<&str>, origin: &str) -> String {
    let at = line.find(mark).unwrap_or_default();
    let start = line[..at].rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let ends = |letter: char| letter.is_whitespace() || letter == ';';
    let end = line[at..].find(ends).map_or(line.len(), |end| at + end);
    let name = name.filter(|_| start == 0).map(|name| format!("{name} @ ")).unwrap_or_default();
    format!("{}{name}{origin}{}", &line[..start], &line[end..])
}

/// The packages of a lock of uv: each with its name and where it comes from.
fn packages(lock: &str) -> Vec<(String, Item)> {
    let Ok(document) = lock.parse::<DocumentMut>() else { return Vec::new() };
    let all = document.get("package").and_then(Item::as_array_of_tables).into_iter().flatten();
    all.filter_map(|package| Some((package.get("name")?.as_str()?.to_owned(), package.get("source")?.clone())))
        .collect()
}

fn text_of<'a>(source: &'a Item, key: &str) -> Option<&'a str> {
    source.get(key).and_then(Item::as_value).and_then(Value::as_str)
}

/// The repositories of a lock, with the commits that were decided on: `git = "URL?branch=main#COMMIT"`.
fn sources(lock: &str) -> Vec<(PackageSource, String)> {
    let read = |(_, source): (String, Item)| {
        let mut url = Url::parse(text_of(&source, "git")?).ok()?;
        let commit = url.fragment()?.to_owned();
        let value = |names: &[&str]| {
            let found = url.query_pairs().find(|(key, _)| names.contains(&&**key));
            found.map(|(_, value)| value.into_owned())
        };
        let (revision, folder) = (value(&["rev", "tag", "branch"]), value(&["subdirectory"]));
        url.set_query(None);
        url.set_fragment(None);
        Some((PackageSource::new(url.as_str(), revision.as_deref(), folder.as_deref())?, commit))
    };
    packages(lock).into_iter().filter_map(read).collect()
}

/// The folders of a lock, with the names of what is in them.
fn directories(lock: &str) -> Vec<(String, String)> {
    let read = |(name, source): (String, Item)| Some((text_of(&source, "directory")?.to_owned(), name));
    packages(lock).into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 1\n\n[[package]]\nname = \"a\"\nversion = \"1\"\n\
        source = { git = \"https://h/a.git?branch=main&subdirectory=s#0123\" }\n\n[[package]]\nname = \"b\"\n\
        source = { directory = \"../git/b-mark\" }\n\n[[package]]\nname = \"c\"\nversion = \"1\"\n\
        source = { registry = \"https://h/simple\" }\n";

    #[test]
    fn a_lock_says_what_was_decided() {
        let found = sources(LOCK);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.requirement(), "git+https://h/a.git@main#subdirectory=s");
        assert_eq!(found[0].1, "0123");
        assert_eq!(directories(LOCK), [("../git/b-mark".to_owned(), "b".to_owned())]);
        assert!(sources("no lock").is_empty());
    }

    #[test]
    fn what_uv_has_exported_is_named() {
        let check = |line: &str, expected: &str| {
            assert_eq!(with_origin(line, "mark", Some("b"), "git+https://h/b@0123"), expected, "{line}");
        };
        check("file:///x/git/b-mark-0123/s", "b @ git+https://h/b@0123");
        check("../x/git/b-mark-0123 ; os_name == 'nt'", "b @ git+https://h/b@0123 ; os_name == 'nt'");
        check("b @ file:///x/git/b-mark-0123; os_name == 'nt'", "b @ git+https://h/b@0123; os_name == 'nt'");
    }

    #[test]
    fn files_are_what_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let (there, new) = (folder.path().join("there"), folder.path().join("new"));
        fs::write(&there, "before").unwrap();
        let swap = || {
            let mut swapped = Swapped { kept: Vec::new() };
            swapped.keep(&there);
            swapped.keep(&new);
            fs::write(&there, "meanwhile").unwrap();
            fs::write(&new, "meanwhile").unwrap();
            swapped
        };
        swap().restore().unwrap();
        assert!(fs::read_to_string(&there).unwrap() == "before" && !new.exists());
        drop(swap());
        assert!(fs::read_to_string(&there).unwrap() == "before" && !new.exists());
    }
}
