//! Packages from git for an image: checked out on this machine, and installed from there.
//!
//! What the installer reads names folders (`file:`) where the task names repositories (`git+`), in requirement lines as
//! in the files of what was checked out, whose own dependencies may come from git in turn. Everywhere else, and in the
//! environment when it is ready, stand the repositories.

mod origins;
mod project_files;
mod swapped;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use url::Url;

use self::project_files::Wanted;
use super::error::PythonError;
use super::inputs::{Inputs, write_input};
use super::installer::{Installer, Site};
use super::requirement_line::{local_path, package_name};
use crate::git::{PackageAccess, PackageSource, Reference};

/// Where the URL of a copy ends, in a line as in a program's text.
const ENDS: [char; 10] = ['"', '\'', '`', '\\', ',', ')', ']', '>', '|', '\0'];

/// One package that was checked out.
#[derive(Clone)]
struct Copy {
    /// What was asked for.
    source: PackageSource,
    commit: String,
    /// In every path and URL of it, and in nothing else.
    mark: String,
    /// Where its project is.
    folder: PathBuf,
}

impl Copy {
    /// What stands for it in a requirement.
    fn url(&self) -> String {
        Url::from_directory_path(&self.folder).map_or_else(
            |()| format!("file://{}", self.folder.display()),
            |url| url.as_str().trim_end_matches('/').into(),
        )
    }
}

/// All that one environment needs.
pub(super) struct Copies<'a> {
    access: &'a PackageAccess<'a>,
    folder: PathBuf,
    progress: &'a dyn Fn(&str),
    made: RefCell<Vec<Copy>>,
}

impl<'a> Copies<'a> {
    /// Below a folder that installers see, too; `None` where they run git themselves. Nothing is made yet.
    pub(super) fn of(
        access: Option<&'a PackageAccess<'a>>,
        scratch: &Path,
        progress: &'a dyn Fn(&str),
    ) -> Option<Self> {
        let access = access.filter(|access| access.checks_out())?;
        Some(Self { access, folder: scratch.join("git"), progress, made: RefCell::default() })
    }

    /// Requirement lines with folders instead of repositories.
    pub(super) fn stand_in(&self, text: &str) -> Result<String, PythonError> {
        let mut result = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let found = Reference::in_line(line);
            let named = found.as_ref().and_then(|found| Some((found.range.clone(), PackageSource::of(found)?)));
            let Some((range, source)) = named else {
                result.push_str(line);
                continue;
            };
            let before = &line[..range.start];
            let url = self.copy(&source, Wanted::of(before))?.url();
            result.extend([before, &url, &line[range.end..]]);
        }
        Ok(result)
    }

    /// Requirement lines with the commits instead of the folders.
    fn originals(&self, line: &str) -> String {
        let made = self.made.borrow();
        let Some(copy) = made.iter().find(|copy| line.contains(&copy.mark)) else { return line.to_owned() };
        replace_folder(line, copy, &copy.source.at(&copy.commit).requirement())
    }

    /// Has an environment name repositories instead of folders that are gone soon.
    pub(super) fn name_origins(&self, environment: &Path) -> Result<(), PythonError> {
        origins::restore(environment, &self.made.borrow())
    }

    /// Checks out what is not there yet, with what it needs in turn.
    fn copy(&self, source: &PackageSource, wanted: Wanted) -> Result<Copy, PythonError> {
        let is_it = |copy: &&Copy| copy.source == *source || copy.source.at(&copy.commit) == *source;
        let known = self.made.borrow().iter().find(is_it).cloned();
        if let Some(copy) = known {
            if wanted != Wanted::NoExtras {
                self.provide_dependencies(&copy, wanted)?;
            }
            return Ok(copy);
        }
        let requirement = source.requirement();
        (self.progress)(&format!("checking out {requirement}"));
        let mark = hex::encode(&Sha256::digest(requirement.as_bytes())[..10]);
        let new = self.folder.join(&mark);
        fs::create_dir_all(&self.folder).map_err(PythonError::io("make", &self.folder))?;
        let commit = self
            .access
            .check_out(source, &new, self.progress)
            .map_err(|error| PythonError::of_repository(error, &requirement))?;
        let is_same = |copy: &&Copy| copy.commit == commit && copy.source.is_beside(source);
        let same = self.made.borrow().iter().find(is_same).cloned();
        if let Some(same) = same {
            // Asked for by a branch and by its commit: for installers it has to be one folder.
            super::store::remove(&new)?;
            let copy = Copy { source: source.clone(), ..same };
            self.made.borrow_mut().push(copy.clone());
            return Ok(copy);
        }
        // A branch that has moved since is another folder: installers keep what they have built of one.
        let mark = format!("{mark}-{}", &commit[..12.min(commit.len())]);
        let root = self.folder.join(format!("{}-{mark}", source.name()));
        super::store::remove(&root)?;
        fs::rename(&new, &root).map_err(PythonError::io("move", &new))?;
        let folder = project_folder(&root, source)?;
        let copy = Copy { source: source.clone(), commit, mark, folder };
        // Before its own needs: two may need each other.
        self.made.borrow_mut().push(copy.clone());
        self.provide_dependencies(&copy, wanted)?;
        Ok(copy)
    }

    fn provide_dependencies(&self, copy: &Copy, wanted: Wanted) -> Result<(), PythonError> {
        let mut stopped = None;
        let mut replace = |_: Option<&str>, source: &PackageSource| {
            self.folder_for(source, Wanted::NoExtras, &copy.source.name(), &mut stopped)
        };
        project_files::rewrite(&copy.folder, wanted, &mut replace, &mut |_, _| {})?;
        stopped.map_or(Ok(()), Err)
    }

    /// The folder of what a project names; `None` where it cannot be had, and in `stopped` what ends everything.
    fn folder_for(
        &self,
        source: &PackageSource,
        wanted: Wanted,
        who: &str,
        stopped: &mut Option<PythonError>,
    ) -> Option<PathBuf> {
        match self.copy(source, wanted) {
            Ok(found) => Some(found.folder),
            Err(error @ (PythonError::Stopped | PythonError::DiskFull { .. })) => {
                stopped.get_or_insert(error);
                None
            }
            Err(error) => {
                // It may never be needed. If it is, the installer says so.
                (self.progress)(&format!("{who} names it, and {error}"));
                None
            }
        }
    }

    /// Requirement lines for what projects of the task's own code need from git, as far as the others do not say it. Their
    /// files stay as they are.
    fn of_local(&self, lines: &[String]) -> Result<String, PythonError> {
        let mut text = String::new();
        for line in lines {
            let line = line.strip_prefix("-e ").unwrap_or(line);
            let Some(folder) = local_path(line).map(Path::new).filter(|folder| folder.is_dir()) else { continue };
            for (name, source) in project_files::dependencies(folder, Wanted::of(line)) {
                let said = lines.iter().find(|line| package_name(line).as_ref() == Some(&name));
                let line = match said {
                    Some(line) => self.stand_in(line.split(" --hash=").next().unwrap_or(line))?,
                    None => format!("{name} @ {}", self.copy(&source, Wanted::NoExtras)?.url()),
                };
                text.push_str(&line);
                text.push('\n');
            }
        }
        Ok(text)
    }
}

impl Installer<'_> {
    /// The copies that this environment needs; `None` where installers run git themselves.
    pub(super) fn copies(&self, site: &Site<'_>) -> Option<&Copies<'_>> {
        self.copies.get_or_init(|| Copies::of(self.repositories, site.scratch, self.progress)).as_ref()
    }

    /// What installers are to read instead of these lines.
    pub(super) fn stand_in(&self, site: &Site<'_>, text: String) -> Result<String, PythonError> {
        match self.copies(site) {
            Some(copies) => copies.stand_in(&text),
            None => Ok(text),
        }
    }

    /// What is to be kept of lines that an installer wrote.
    pub(super) fn originals(&self, lines: Vec<String>) -> Vec<String> {
        match self.copies.get().and_then(Option::as_ref) {
            Some(copies) => lines.iter().map(|line| copies.originals(line)).collect(),
            None => lines,
        }
    }

    /// Tells uv where the packages from git are that the task's own projects need.
    pub(super) fn add_overrides(&self, site: &Site<'_>, inputs: Inputs) -> Result<Inputs, PythonError> {
        let Some(copies) = self.copies(site).filter(|_| self.requirements.is_local()) else { return Ok(inputs) };
        let text = copies.of_local(self.requirements.lines())?;
        if text.is_empty() {
            return Ok(inputs);
        }
        Ok(Inputs { overrides: Some(write_input(site.scratch, "overrides.txt", &text)?), ..inputs })
    }

    /// See [`Copies::name_origins`].
    pub(super) fn name_origins(&self, site: &Site<'_>) -> Result<(), PythonError> {
        self.copies.get().and_then(Option::as_ref).map_or(Ok(()), |copies| copies.name_origins(&site.environment))
    }
}

/// Where the project is in what was checked out: what a link leads to elsewhere is no part of it.
fn project_folder(root: &Path, source: &PackageSource) -> Result<PathBuf, PythonError> {
    let Some(below) = source.subdirectory() else { return Ok(root.to_owned()) };
    let folder = root.join(below);
    let real = root.canonicalize().map_err(PythonError::io("find", root))?;
    if folder.canonicalize().is_ok_and(|folder| folder.is_dir() && folder.starts_with(real)) {
        return Ok(folder);
    }
    let detail = format!("there is no folder {below} in {}", source.url());
    Err(PythonError::Install { detail, is_transient: false })
}

/// The text with something else instead of the URL of a copy.
fn replace_folder(text: &str, copy: &Copy, with: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&copy.mark) {
        let Some(start) = rest[..at].rfind("file:") else { break };
        let end = rest[at..].find(|letter: char| letter.is_whitespace() || ENDS.contains(&letter) || letter == ';');
        result.push_str(&rest[..start]);
        result.push_str(with);
        rest = end.map_or("", |end| &rest[at + end..]);
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_in_its_repository() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", root.path().join("within")).unwrap();
        std::os::unix::fs::symlink(other.path(), root.path().join("outside")).unwrap();
        for (below, expected) in [("a", true), ("within", true), ("outside", false), ("nowhere", false)] {
            let source = PackageSource::new("https://h/r", None, Some(below)).unwrap();
            assert_eq!(project_folder(root.path(), &source).is_ok(), expected, "{below}");
        }
    }
}
