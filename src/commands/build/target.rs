//! The folder that a task is built in.

use std::path::{Path, PathBuf};

use protocols::ids::TaskId;

use crate::exit::Problem;

/// A file that says that the folder is ours to build in.
const MARK: &str = ".hostler-build";

/// A folder in which nothing is lost when it is built in.
pub(super) struct Target {
    folder: PathBuf,
}

impl Target {
    /// A folder that is new, empty, or of an earlier build; another one is refused, because what is in it may be
    /// replaced.
    pub(super) fn make(folder: &Path, task: &TaskId) -> anyhow::Result<Self> {
        let failed = |error: std::io::Error| Problem::usage(format!("cannot build in {}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let mark = folder.join(MARK);
        let is_used = std::fs::read_dir(&folder).map_err(failed)?.next().is_some();
        if is_used && !mark.exists() {
            let folder = folder.display();
            return Err(Problem::usage(format!(
                "{folder} has files that no build put there: name a new or an empty folder with --target"
            )));
        }
        std::fs::write(&mark, format!("{task}\n")).map_err(failed)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_empty_or_ours_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        let task = TaskId::from("t");
        let new = folder.path().join("a/b");
        for _ in 0..2 {
            assert!(Target::make(&new, &task).unwrap().folder().ends_with("a/b"));
        }
        let error = Target::make(folder.path(), &task).err().expect("it has files").to_string();
        assert!(error.contains("--target"), "{error}");
    }
}
