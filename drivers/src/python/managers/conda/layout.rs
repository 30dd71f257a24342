//! How an environment of conda looks.

use std::fs;
use std::path::Path;

use crate::python::installed;

/// Whether this is one: conda's lists of what it installed are there.
pub(in crate::python) fn is_of_conda(environment: &Path) -> bool {
    environment.join("conda-meta").is_dir()
}

/// The version of its Python.
pub(in crate::python) fn python_version(environment: &Path) -> Option<String> {
    records(environment).find(|[name, ..]| name == "python").map(|[_, version, _]| version)
}

/// What is in it: conda's packages as conda writes them (`name=version=build`), then those of pip as pip does.
pub(super) fn packages(environment: &Path) -> Vec<String> {
    let mut packages: Vec<String> = records(environment).map(|record| record.join("=")).collect();
    packages.sort();
    packages.extend(installed::packages_by(environment, "pip"));
    packages
}

/// Name, version and build of conda's packages, by the files that say that conda installed them:
/// `python-3.10.4-h12debd9_0.json`.
fn records(environment: &Path) -> impl Iterator<Item = [String; 3]> {
    let entries = fs::read_dir(environment.join("conda-meta")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        // A name may have the sign in it.
        let mut parts = file.strip_suffix(".json")?.rsplitn(3, '-');
        let (build, version, name) = (parts.next()?, parts.next()?, parts.next()?);
        Some([name, version, build].map(str::to_owned))
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
        let site_packages = folder.path().join("lib/python3.10/site-packages");
        for (name, installer) in [("python_dateutil", "conda\n"), ("six", "pip\n")] {
            let folder = site_packages.join(format!("{name}-1.dist-info"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("METADATA"), format!("Name: {name}\nVersion: 1\n")).unwrap();
            fs::write(folder.join("INSTALLER"), installer).unwrap();
        }
        let expected =
            ["python-dateutil=2.9.0=pyhd8ed1ab_0", "python=3.10.4=h12debd9_0", "python_abi=3.10=5_cp310", "six==1"];
        assert_eq!(packages(folder.path()), expected);
    }
}
