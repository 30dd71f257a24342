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

/// Writes a file that only this user can read.
pub(super) fn write_input(folder: &Path, name: &str, text: &str) -> Result<PathBuf, PythonError> {
    let path = folder.join(name);
    let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(PythonError::io("write", &path))?;
    Ok(path)
}
