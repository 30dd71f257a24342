//! Looking for conda, wherever an image may have it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::find::{folders, is_executable};
use crate::vocabulary::SystemText;

/// Programs that make environments of conda.
const NAMES: [&str; 3] = ["micromamba", "mamba", "conda"];
/// Variables with which an image, or whoever activated conda in it, names such a program.
const VARIABLES: [&str; 2] = ["MAMBA_EXE", "CONDA_EXE"];
/// Folders of programs that need not be on the `PATH`.
const USUAL_FOLDERS: [&str; 4] = ["usr/local/bin", "usr/bin", "bin", "root/.local/bin"];
/// Where an installation is a folder among others.
const PARENTS: [&str; 3] = ["", "usr/local", "root"];
/// By which it is told from them: `miniconda3`, `anaconda3`, `miniforge3`, `mambaforge`, `micromamba`, ..
const PARTS: [&str; 3] = ["conda", "mamba", "forge"];

/// All there are below `root`: on `path`, where a variable says so, in the usual places, and in homes.
pub(crate) fn condas(root: &Path, path: &OsStr, variable: impl Fn(&str) -> Option<OsString>) -> Vec<SystemText> {
    let programs = |folder: PathBuf| NAMES.map(|name| folder.join(name));
    let named = VARIABLES.iter().filter_map(|name| variable(name)).map(PathBuf::from);
    let named =
        named.filter(|path| path.is_absolute() && NAMES.iter().any(|name| path.file_name() == Some(name.as_ref())));
    let candidates = folders(path).flat_map(programs).chain(named).chain(places(root).into_iter().flat_map(programs));
    let mut seen = BTreeSet::new();
    candidates.filter(|path| is_executable(path) && seen.insert(path.clone())).map(SystemText::from).collect()
}

/// Folders in which such a program may be.
fn places(root: &Path) -> Vec<PathBuf> {
    let homes = below(&root.join("home"));
    let parents = PARENTS.iter().map(|parent| root.join(parent)).chain(homes.iter().cloned());
    let is_installation = |folder: &PathBuf| {
        let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        PARTS.iter().any(|part| name.contains(part))
    };
    let installations = parents.flat_map(|parent| below(&parent)).filter(is_installation);
    let usual = USUAL_FOLDERS.iter().map(|folder| root.join(folder));
    let opt = below(&root.join("opt")).into_iter().map(|folder| folder.join("bin"));
    let of_users = homes.iter().map(|home| home.join(".local/bin"));
    usual.chain(opt).chain(installations.map(|folder| folder.join("bin"))).chain(of_users).collect()
}

/// What is in a folder, in the order of the names.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder as if it were an image, with these programs.
    fn image(programs: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("hostler-condas-{}-{}", std::process::id(), programs.len()));
        let _ = std::fs::remove_dir_all(&root);
        for program in programs {
            let path = root.join(program);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        root
    }

    fn found(root: &Path, path: &str, variable: Option<&str>) -> Vec<String> {
        let path = root.join(path).into_os_string();
        let named = |name: &str| (name == "CONDA_EXE").then(|| variable.map(|it| root.join(it).into()))?;
        let found = condas(root, &path, named).into_iter().map(SystemText::into_path);
        found.map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn it_is_found_where_its_installers_put_it() {
        let places = [
            "opt/conda/bin/conda",
            "opt/any/bin/mamba",
            "Miniconda3/bin/conda",
            "root/miniforge3/bin/mamba",
            "root/.local/bin/micromamba",
            "home/me/anaconda3/bin/conda",
            "home/me/.local/bin/micromamba",
            "usr/local/miniconda/bin/conda",
        ];
        let root = image(&places);
        let all = found(&root, "nothing", None);
        assert_eq!(all.len(), places.len(), "{all:?}");
        for place in places {
            assert!(all.iter().any(|found| found == place), "{place}");
        }
        // What a variable names goes before what is only there, and after the PATH.
        let some = found(&root, "opt/any/bin", Some("home/me/anaconda3/bin/conda"));
        assert_eq!(some[..2], ["opt/any/bin/mamba", "home/me/anaconda3/bin/conda"]);
        assert_eq!(some.len(), places.len());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_no_program_of_that_name_is_left_alone() {
        let root = image(&["opt/conda/bin/conda-env", "opt/conda/bin/activate"]);
        std::fs::write(root.join("opt/conda/bin/conda"), "").unwrap();
        assert!(found(&root, "opt/conda/bin", Some("opt/conda/bin/activate")).is_empty());
        std::fs::remove_dir_all(root).unwrap();
    }
}
