//! What an environment says about where its packages came from.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::secrets::removed;
use crate::python::error::PythonError;

/// Takes passwords and tokens out of the URLs in an environment's lists, which every task that uses it may read: these
/// programs write down whence they downloaded what, and how they were called.
pub(super) fn clean(environment: &Path) -> Result<(), PythonError> {
    let lists = environment.join("conda-meta");
    // Where there are none, nothing was installed.
    for entry in fs::read_dir(&lists).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_list = path.extension().is_some_and(|end| end == "json") || path.ends_with("history");
        let Some(text) = is_list.then(|| fs::read_to_string(&path).ok()).flatten() else { continue };
        let new = removed(&text);
        if new != text {
            replace(&path, &new).map_err(PythonError::io("write", &path))?;
        }
    }
    Ok(())
}

/// By another file: whatever has a link to the old one keeps it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mode = Permissions::from_mode(fs::metadata(path)?.permissions().mode());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".new.").permissions(mode).tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_with_secrets_change() {
        let folder = tempfile::tempdir().unwrap();
        clean(folder.path()).unwrap();
        let lists = folder.path().join("conda-meta");
        fs::create_dir(&lists).unwrap();
        let write = |name: &str, text: &str| fs::write(lists.join(name), text).unwrap();
        write("history", "# cmd: micromamba create\n+https://h/t/secret/own/linux-64::a-1-0\n");
        write("a-1-0.json", r#"{"url": "https://me:secret@h/own/linux-64/a-1-0.conda", "size": 1}"#);
        write("b-1-0.json", r#"{"url": "https://h/own/b-1-0.conda"}"#);
        fs::set_permissions(lists.join("a-1-0.json"), Permissions::from_mode(0o640)).unwrap();
        let before = fs::metadata(lists.join("b-1-0.json")).unwrap().modified().unwrap();
        clean(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(lists.join(name)).unwrap();
        assert_eq!(read("history"), "# cmd: micromamba create\n+https://h/own/linux-64::a-1-0\n");
        assert_eq!(read("a-1-0.json"), r#"{"url": "https://h/own/linux-64/a-1-0.conda", "size": 1}"#);
        assert_eq!(fs::metadata(lists.join("a-1-0.json")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::metadata(lists.join("b-1-0.json")).unwrap().modified().unwrap(), before);
    }
}
