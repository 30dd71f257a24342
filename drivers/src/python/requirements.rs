//! What a task asks to be installed: its own lines, or the `requirements.txt` files of its code.
//!
//! Files that are referred to (`-r`, `-c`) are taken in by content, so that an environment is shared between commits
//! whose requirements are the same. What refers to folders or archives of the code makes the environment private.

use std::path::{Path, PathBuf};

use super::CodeFolder;
use super::error::PythonError;
pub(super) use super::files::files_of;
use super::files::requirements_text;
use super::requirement_line::{
    as_option, has_credentials, is_moving, is_remote, local_path, logical_lines, named_url, normalised,
    normalised_name, package_name, pin,
};
use crate::git::Reference;
use crate::scrub::scrub_urls;

/// Where requirement lines come from.
pub(super) enum Source<'a> {
    /// The task.
    Lines(&'a [String]),
    /// Files of its code, in order.
    Files(Vec<PathBuf>),
    /// The manager of a project in its code.
    Project {
        lines: Vec<String>,
        /// What paths in them are relative to.
        folder: PathBuf,
    },
}

impl Source<'_> {
    /// Whether nothing is asked for at all.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Lines(lines) => logical_lines(lines.iter().map(String::as_str)).is_empty(),
            Self::Files(files) => files.is_empty(),
            Self::Project { .. } => false,
        }
    }
}

/// Requirement lines, understood. Not `Debug`: there may be secrets in them.
#[derive(Clone, Default)]
pub(super) struct Requirements {
    /// Options for the installer that hold for all lines, in order.
    options: Vec<(&'static str, String)>,
    /// Requirements in the order in which they were given, without duplicates.
    lines: Vec<String>,
    /// Lines of constraint files.
    constraints: Vec<String>,
    /// Requirements of the code itself, as they were written.
    local_originals: Vec<String>,
}

impl Requirements {
    /// Reads all lines and the files that they refer to. What is left out is said.
    pub(super) fn read(
        source: &Source<'_>,
        code: Option<&CodeFolder<'_>>,
        progress: &dyn Fn(&str),
    ) -> Result<Self, PythonError> {
        let mut reader = Reader { found: Self::default(), code, progress, open: Vec::new() };
        match source {
            Source::Lines(lines) => reader.lines(lines.iter().map(String::as_str), None)?,
            Source::Files(files) => {
                for file in files {
                    (progress)(&format!("the task lists no requirements: taking those of {}", shown(file, code)));
                    reader.file(file)?;
                }
            }
            Source::Project { lines, folder } => {
                reader.lines(lines.iter().map(String::as_str), Some(folder.as_path()))?;
            }
        }
        Ok(reader.found)
    }

    /// The requirements.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The same without the packages of these names, and the names of those that there were.
    pub(super) fn split(&self, names: [&Vec<String>; 2]) -> (Self, Vec<String>) {
        let names: Vec<String> = names.into_iter().flatten().map(|name| normalised_name(name)).collect();
        let named = |line: &String| package_name(line).filter(|name| names.contains(name));
        let found = self.lines.iter().filter_map(named).collect();
        let mut rest = self.clone();
        rest.lines.retain(|line| named(line).is_none());
        (rest, found)
    }

    /// Those of the packages of these names, and the others, each with all options and constraints.
    pub(super) fn partition(&self, names: &[String]) -> (Self, Self) {
        let is_named = |line: &String| package_name(line).is_some_and(|name| names.contains(&name));
        let (mut named, mut others) = (self.clone(), self.clone());
        named.lines.retain(|line| is_named(line));
        others.lines.retain(|line| !is_named(line));
        (named, others)
    }

    /// Adds options that stand for themselves.
    pub(super) fn add_options(&mut self, options: impl IntoIterator<Item = (&'static str, String)>) {
        self.options.extend(options);
    }

    /// Adds constraints that nobody wrote.
    pub(super) fn limit(&mut self, constraints: impl IntoIterator<Item = String>) {
        self.constraints.extend(constraints);
    }

    /// Whether there is nothing to install.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether something to install lies in the task's code.
    pub(super) fn is_local(&self) -> bool {
        !self.local_originals.is_empty()
    }

    /// See [`Requirements::is_local`]; as the task writes them.
    pub(super) fn local_originals(&self) -> &[String] {
        &self.local_originals
    }

    /// Values of an option, in order.
    pub(super) fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(name, _)| *name == option).map(|(_, value)| value.as_str())
    }

    /// Whether an option is given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.values(option).next().is_some()
    }

    /// All texts, for the secrets in them.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let options = self.options.iter().map(|(_, value)| value.as_str());
        options.chain(self.lines.iter().map(String::as_str)).chain(self.constraints.iter().map(String::as_str))
    }

    /// The text of a requirements file, without the options in `left_out`. It may hold secrets.
    pub(super) fn file_text(&self, left_out: &[&str]) -> String {
        let options = self.options.iter().filter(|(name, _)| !left_out.contains(name));
        let options = options.map(|(name, value)| format!("{name} {value}").trim().to_owned());
        options.chain(self.lines.iter().cloned()).map(|line| line + "\n").collect()
    }

    /// The options of [`Requirements::file_text`] alone.
    pub(super) fn options_text(&self, left_out: &[&str]) -> String {
        let options = self.options.iter().filter(|(name, _)| !left_out.contains(name));
        options.map(|(name, value)| format!("{name} {value}").trim().to_owned() + "\n").collect()
    }

    /// Whether a URL of a requirement has credentials.
    pub(super) fn has_credentials(&self) -> bool {
        self.lines.iter().chain(&self.constraints).any(|line| has_credentials(line))
    }

    /// Whether a requirement says which files alone may be installed.
    pub(super) fn has_hashes(&self) -> bool {
        self.lines.iter().chain(&self.constraints).any(|line| line.contains("--hash"))
    }

    /// Whether a repository that is asked for cannot have a hash as other requirements have.
    pub(super) fn lacks_hashes(&self) -> bool {
        self.has_hashes() && self.lines.iter().any(|line| Reference::in_line(line).is_some())
    }

    /// Whether a requirement names a branch or tag of a repository, which may be something else tomorrow.
    pub(super) fn is_moving(&self) -> bool {
        self.lines.iter().any(|line| is_moving(line))
    }

    /// The text of a constraints file; empty for none.
    pub(super) fn constraints_text(&self) -> String {
        self.constraints.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The text of a file with every exact version that is asked for; empty if there are not at least two.
    pub(super) fn pins_text(&self) -> String {
        let pins: Vec<String> = self.lines.iter().filter_map(|line| pin(line)).collect();
        if pins.len() < 2 { String::new() } else { pins.join("\n") + "\n" }
    }

    /// Names of the packages that are asked for.
    pub(super) fn names(&self) -> Vec<String> {
        self.lines.iter().filter_map(|line| package_name(line)).collect()
    }

    /// Lines that are equal for equal questions, without secrets: the order of requirements does not matter.
    pub(super) fn canonical(&self) -> Vec<String> {
        let canonical = |lines: &[String], prefix: &str| {
            let mut lines: Vec<String> =
                lines.iter().map(|line| format!("{prefix}: {}", scrub_urls(&normalised(line)))).collect();
            lines.sort();
            lines.dedup();
            lines
        };
        let mut all = canonical(&self.lines, "requirement");
        all.extend(canonical(&self.constraints, "constraint"));
        all
    }

    /// The same for options, whose order matters.
    pub(super) fn canonical_options(&self) -> Vec<String> {
        let options = self.options.iter();
        options.map(|(name, value)| scrub_urls(&format!("option: {name} {value}"))).collect()
    }
}

struct Reader<'a> {
    found: Requirements,
    code: Option<&'a CodeFolder<'a>>,
    progress: &'a dyn Fn(&str),
    /// Files that are being read, outermost first.
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), PythonError> {
        if self.open.iter().any(|open| open == path) {
            return Ok(());
        }
        let text = read(path)?;
        self.open.push(path.to_owned());
        let read = self.lines([text.as_str()], path.parent());
        self.open.pop();
        read
    }

    fn lines<'t>(
        &mut self,
        lines: impl IntoIterator<Item = &'t str>,
        folder: Option<&Path>,
    ) -> Result<(), PythonError> {
        for line in logical_lines(lines) {
            match as_option(&line) {
                Some((name, value)) => self.option(name, value, folder)?,
                None => self.requirement(&line, "", folder),
            }
        }
        Ok(())
    }

    fn option(&mut self, name: &'static str, value: String, folder: Option<&Path>) -> Result<(), PythonError> {
        match name {
            "--requirement" | "--constraint" if !is_remote(&value) => {
                let path = self.locate(&value, folder);
                let Some(path) = path.filter(|path| path.is_file()) else {
                    self.say(&format!("{name} {value} is left out: there is no such file in the code"));
                    return Ok(());
                };
                if name == "--requirement" {
                    return self.file(&path);
                }
                let text = read(&path)?;
                self.found.constraints.extend(logical_lines([text.as_str()]));
            }
            "--editable" if is_remote(&value) => self.requirement(&value, "", folder),
            "--editable" => self.requirement(&value, "-e ", folder),
            "--find-links" if !is_remote(&value) => {
                let path = self.locate(&value, folder).unwrap_or_else(|| PathBuf::from(&value));
                self.found.local_originals.push(format!("--find-links {value}"));
                self.found.options.push((name, path.display().to_string()));
            }
            // Means nothing to any installer of today.
            "--always-unzip" => {}
            "" => self.say(&format!("requirement line {value:?} is left out: no such option is known")),
            _ => self.found.options.push((name, value)),
        }
        Ok(())
    }

    fn requirement(&mut self, line: &str, prefix: &str, folder: Option<&Path>) {
        // What follows a path is only its name, which the folder knows itself.
        let line = match is_remote(line) || line.starts_with("file:") {
            true => named_url(line),
            false => line.split('#').next().unwrap_or(line).trim().to_owned(),
        };
        if normalised(&line) == "pkg-resources==0.0.0" {
            // Debian's pip lists it, no index has it.
            self.say(&format!("requirement {line} is left out: it stands for no package"));
            return;
        }
        let Some(path) = local_path(&line).map(str::to_owned) else {
            self.push(format!("{prefix}{line}"));
            return;
        };
        match (self.locate(&path, folder), package_name(&line)) {
            (Some(found), _) => {
                self.found.local_originals.push(format!("{prefix}{line}"));
                let line = line.replacen(&path, &found.display().to_string(), 1);
                self.push(format!("{prefix}{line}"));
            }
            (None, Some(name)) => {
                // Where conda built the package; only the name means something elsewhere.
                self.say(&format!("requirement {line} is taken as {name}: {path} is not on this machine"));
                self.push(name);
            }
            // The installer's own words are the best ones.
            (None, None) => {
                self.found.local_originals.push(format!("{prefix}{line}"));
                self.push(format!("{prefix}{line}"));
            }
        }
    }

    fn push(&mut self, line: String) {
        if !self.found.lines.contains(&line) {
            self.found.lines.push(line);
        }
    }

    /// Where a path leads: from the file that names it, from the working directory, from the root of the code.
    fn locate(&self, path: &str, folder: Option<&Path>) -> Option<PathBuf> {
        let from_code = self.code.iter().flat_map(|code| [code.working_dir, code.root]);
        let mut bases = folder.into_iter().chain(from_code);
        if Path::new(path).is_absolute() {
            return Path::new(path).exists().then(|| PathBuf::from(path));
        }
        bases.find_map(|base| base.join(path).canonicalize().ok())
    }

    fn say(&self, text: &str) {
        (self.progress)(&scrub_urls(text));
    }
}

fn read(path: &Path) -> Result<String, PythonError> {
    requirements_text(path).map_err(PythonError::io("read", path))
}

fn shown(file: &Path, code: Option<&CodeFolder<'_>>) -> String {
    let relative = code.and_then(|code| file.strip_prefix(code.root).ok()).unwrap_or(file);
    relative.display().to_string()
}

/// The text of a requirements file without the hashes of its lines.
pub(super) fn without_hashes(text: &str) -> String {
    text.lines().map(|line| line.split(" --hash=").next().unwrap_or(line).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use super::*;

    struct Code(tempfile::TempDir);

    impl Code {
        fn new(files: &[(&str, &str)]) -> Self {
            let code = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(code.root().join("src")).unwrap();
            for (name, text) in files {
                let path = code.root().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            code
        }

        fn root(&self) -> PathBuf {
            self.0.path().canonicalize().unwrap()
        }

        /// Reads lines as those of a task that runs in `src`, and returns what was said.
        fn read(&self, lines: &str) -> (Requirements, String) {
            let (root, working_dir) = (self.root(), self.root().join("src"));
            let code = CodeFolder { root: &root, working_dir: &working_dir, entry_point: "train.py" };
            let said = RefCell::new(String::new());
            let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
            let read =
                Requirements::read(&Source::Lines(&lines), Some(&code), &|line| said.borrow_mut().push_str(line));
            (read.unwrap(), said.into_inner())
        }
    }

    #[test]
    fn hashes_are_taken_out_and_nothing_else() {
        let text =
            "a==1 --hash=sha256:1f --hash=sha256:2e\n--index-url https://h/--hash=x\nb @ file:///f ; os_name=='a'\n";
        let clean = "a==1\n--index-url https://h/--hash=x\nb @ file:///f ; os_name=='a'\n";
        assert_eq!(without_hashes(text), clean);
    }

    #[test]
    fn files_are_taken_in_by_content() {
        let code = Code::new(&[
            ("src/base.txt", "a==1\n-r more/deep.txt\n-r base.txt\n"),
            ("src/more/deep.txt", "b\n-c limits.txt\n"),
            ("src/more/limits.txt", "c<2 # not 2\n"),
            ("root.txt", "d\n"),
        ]);
        let (read, said) = code.read("-r base.txt\n-r root.txt\n-r gone.txt\na==1");
        assert_eq!(read.file_text(&[]), "a==1\nb\nd\n");
        assert_eq!(read.constraints_text(), "c<2\n");
        assert!(said.contains("gone.txt is left out"), "{said}");
        assert!(!read.is_local());
    }

    #[test]
    fn what_lies_in_the_code_makes_it_private() {
        let code = Code::new(&[("lib/setup.py", ""), ("src/setup.py", "")]);
        let root = code.root().display().to_string();
        let (read, _) = code.read("six\n-e .[dev]\n../lib\n-e git+https://h/r#egg=x\n-e ../lib#egg=name");
        let expected = format!("six\n-e {root}/src[dev]\n{root}/lib\nx @ git+https://h/r\n-e {root}/lib\n");
        assert_eq!(read.file_text(&[]), expected);
        assert_eq!(read.local_originals(), ["-e .[dev]", "../lib", "-e ../lib"]);
        assert!(read.is_local());
    }

    #[test]
    fn what_conda_recorded_is_reduced_to_its_name() {
        let (read, said) = Code::new(&[]).read("numpy @ file:///croot/numpy_1/work\npkg_resources==0.0.0\nsix");
        assert_eq!(read.file_text(&[]), "numpy\nsix\n");
        assert!(said.contains("taken as numpy") && said.contains("pkg_resources"), "{said}");
        assert!(!read.is_local());
    }

    #[test]
    fn the_same_question_has_the_same_form() {
        let code = Code::new(&[]);
        let form = |lines: &str| [code.read(lines).0.canonical_options(), code.read(lines).0.canonical()];
        assert_eq!(form("B == 1\na"), form("# x\na\n\nb==1\nb==1"));
        assert_eq!(form("--extra-index-url https://u:p@h/s\na"), form("--extra-index-url https://v:q@h/s\na"));
        assert_ne!(form("-i https://h/1\n-i https://h/2"), form("-i https://h/2\n-i https://h/1"));
        assert_ne!(form("a==1"), form("a==2"));
    }

    #[test]
    fn options_can_be_left_to_the_command_line() {
        let (read, said) = Code::new(&[]).read("--pre\n--no-index\n--frobnicate\na");
        assert_eq!(read.file_text(&["--pre"]), "--no-index\na\n");
        assert!(read.has("--pre") && said.contains("--frobnicate"), "{said}");
    }
}
