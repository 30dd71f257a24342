//! What an environment says about where its packages came from.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::error::PythonError;
use super::super::installed;
use super::{Copy, replace_folder};

/// Has every package that was installed from a copy, or needs one that was, name the repository, as if git had been
/// there: for `pip freeze`, for what is recorded as the task's packages, and for whoever looks whether a requirement is
/// met.
pub(super) fn restore(environment: &Path, copies: &[Copy]) -> Result<(), PythonError> {
    for folder in installed::metadata_folders(environment) {
        change(&folder, "direct_url.json", &|text| {
            let copy = copies.iter().find(|copy| text.contains(&copy.mark))?;
            Some(direct_url(copy).to_string())
        })?;
        change(&folder, "METADATA", &|text| named(text, copies))?;
    }
    Ok(())
}

/// The same for what a build has left in a project itself: `NAME.egg-info`, in its folder or in `src`.
pub(super) fn restore_in_project(project: &Path, copies: &[Copy]) -> Result<(), PythonError> {
    let folders = [project.to_owned(), project.join("src")];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let left = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "egg-info"));
    for folder in left {
        for name in ["PKG-INFO", "requires.txt"] {
            change(&folder, name, &|text| named(text, copies))?;
        }
    }
    Ok(())
}

/// A text with the repositories instead of the folders; `None` where there are none.
fn named(text: &str, copies: &[Copy]) -> Option<String> {
    let meant = copies.iter().filter(|copy| text.contains(&copy.mark));
    meant.fold(None, |changed, copy| {
        Some(replace_folder(changed.as_deref().unwrap_or(text), copy, &copy.source.requirement()))
    })
}

/// As PEP 610 has it.
fn direct_url(copy: &Copy) -> Value {
    let mut origin = json!({
        "url": copy.source.url(),
        "vcs_info": { "vcs": "git", "commit_id": copy.commit },
    });
    if let Some(requested) = copy.source.requested() {
        origin["vcs_info"]["requested_revision"] = json!(requested);
    }
    if let Some(subdirectory) = copy.source.subdirectory() {
        origin["subdirectory"] = json!(subdirectory);
    }
    origin
}

/// Changes a file of a package's metadata, if there is something to change, and its line in the list of files.
fn change(folder: &Path, name: &str, new: &dyn Fn(&str) -> Option<String>) -> Result<(), PythonError> {
    let path = folder.join(name);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let Some(new) = new(&text) else { return Ok(()) };
    replace(&path, &new)?;
    let record = folder.join("RECORD");
    let Ok(list) = fs::read_to_string(&record) else { return Ok(()) };
    let own = folder.file_name().unwrap_or_default().to_string_lossy();
    let start = format!("{own}/{name},");
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(new.as_bytes()));
    let line = format!("{start}sha256={hash},{}", new.len());
    let lines = list.lines().map(|old| if old.starts_with(&start) { line.as_str() } else { old });
    replace(&record, &lines.map(|line| format!("{line}\n")).collect::<String>())
}

/// By another file, which all may read: the old one may be a link to one of an installer's cache, or to any other.
fn replace(path: &Path, text: &str) -> Result<(), PythonError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let readable = Permissions::from_mode(0o644);
    let new = tempfile::Builder::new().prefix(".new.").permissions(readable).tempfile_in(folder);
    let written = new.and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(PythonError::io("write", path))
}
