//! The files that uv or pip reads: requirements, constraints, overrides.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::PythonError;

/// Requirement options that uv takes on its command line, from its environment, or not at all.
pub(super) const NOT_FOR_UV: [&str; 5] =
    ["--pre", "--trusted-host", "--prefer-binary", "--require-hashes", "--use-feature"];

/// What the installer reads.
pub(super) struct Inputs {
    pub(super) requirements: PathBuf,
    pub(super) constraints: Option<PathBuf>,
    /// For uv: what counts instead of what packages ask for.
    pub(super) overrides: Option<PathBuf>,
}

/// The text of a requirements file as every pip takes it: before 24.1, a repository without a host (`git+file:///..`) has
/// its name behind the URL, or it is no requirement.
pub(super) fn for_any_pip(text: &str) -> String {
    text.lines().map(|line| name_behind(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn name_behind(line: &str) -> Option<String> {
    let (name, rest) = line.split_once('@')?;
    let rest = rest.trim_start();
    let (url, more) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    let is_without_host = url.starts_with("git+file:///") && !name.contains(':');
    let before = if url.contains('#') { '&' } else { '#' };
    is_without_host.then(|| format!("{url}{before}egg={}{more}", name.trim()))
}

/// Writes a file that only this user can read.
pub(super) fn write_input(folder: &Path, name: &str, text: &str) -> Result<PathBuf, PythonError> {
    let path = folder.join(name);
    let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(PythonError::io("write", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_without_a_host_has_its_name_behind_it() {
        for (line, expected) in [
            ("x @ git+file:///r@v1", "git+file:///r@v1#egg=x"),
            (
                "x[a] @ git+file:///r#subdirectory=s ; os_name == 'nt'",
                "git+file:///r#subdirectory=s&egg=x[a] ; os_name == 'nt'",
            ),
            ("x @ git+https://h/r@v1", "x @ git+https://h/r@v1"),
            ("git+file:///r@v1", "git+file:///r@v1"),
            ("--find-links file:///a@git+file:///r", "--find-links file:///a@git+file:///r"),
            ("six==1.17.0", "six==1.17.0"),
        ] {
            assert_eq!(for_any_pip(line), format!("{expected}\n"));
        }
    }
}
