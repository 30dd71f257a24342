//! How an environment of conda looks.

use std::fs;
use std::path::Path;

/// Whether this is one: conda's lists of what it installed are there.
pub(in crate::python) fn is_of_conda(environment: &Path) -> bool {
    environment.join("conda-meta").is_dir()
}

/// The version of its Python, by the file that says that conda installed it: `python-3.10.4-h12debd9_0.json`.
pub(in crate::python) fn python_version(environment: &Path) -> Option<String> {
    let entries = fs::read_dir(environment.join("conda-meta")).ok()?;
    entries.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix("python-")?.split('-').next()?;
        let is_version = version.starts_with(|letter: char| letter.is_ascii_digit()) && name.ends_with(".json");
        is_version.then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_python_is_python() {
        let folder = tempfile::tempdir().unwrap();
        let lists = folder.path().join("conda-meta");
        assert!(!is_of_conda(folder.path()));
        fs::create_dir(&lists).unwrap();
        for name in ["python-dateutil-2.9.0-pyhd8ed1ab_0.json", "python_abi-3.10-5_cp310.json", "history"] {
            fs::write(lists.join(name), "").unwrap();
        }
        assert!(is_of_conda(folder.path()));
        assert_eq!(python_version(folder.path()), None);
        fs::write(lists.join("python-3.10.4-h12debd9_0.json"), "").unwrap();
        assert_eq!(python_version(folder.path()).as_deref(), Some("3.10.4"));
    }
}
