//! A work tree without its repository, for builds of packages that have no git.
//!
//! Many packages take their version from git. Without it they read `.git_archival.txt`, which `git archive` fills in and
//! setuptools-scm defines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use git2::{DescribeFormatOptions, DescribeOptions, Repository};

use super::error::GitError;
use super::mirror::remove_all;

const FILE: &str = ".git_archival.txt";

/// Writes down which commit a work tree is of, and removes its `.git`, which borrows objects that may go.
pub(super) fn leave_repository(root: &Path, commit: &str) -> Result<(), GitError> {
    let path = root.join(FILE);
    // A link of the repository may lead to any file of this user: it is not followed.
    let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let is_filled_in = is_file && fs::read_to_string(&path).is_ok_and(|text| !text.contains("$Format:"));
    if !is_filled_in {
        let new = root.join(".git/archival");
        fs::write(&new, text(root, commit)).map_err(GitError::io("write", &new))?;
        fs::rename(&new, &path).map_err(GitError::io("move", &new))?;
    }
    remove_all(&root.join(".git"))
}

fn text(root: &Path, commit: &str) -> String {
    let mut text = format!("node: {commit}\n");
    if let Some(description) = describe(root) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "describe-name: {description}");
    }
    text
}

/// `git describe --tags --match '*[0-9]*'`; `None` where no tag leads here.
fn describe(root: &Path) -> Option<String> {
    let repository = Repository::open(root).ok()?;
    let mut how = DescribeOptions::new();
    how.describe_tags().pattern("*[0-9]*");
    let description = repository.describe(&how).ok()?;
    description.format(Some(DescribeFormatOptions::new().abbreviated_size(12))).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(root: &Path, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=T", "-c", "user.email=t@example.com"];
        let output = Command::new("git").current_dir(root).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn what_git_would_say_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let make = |archival: Option<&str>, tags: &[&str], commits: usize| {
            remove_all(&root.join(".git")).unwrap();
            fs::remove_file(root.join(FILE)).ok();
            git(root, &["init", "--quiet"]);
            archival.iter().for_each(|text| fs::write(root.join(FILE), text).unwrap());
            git(root, &["add", "--all"]);
            git(root, &["commit", "--quiet", "--allow-empty", "--message", "1"]);
            tags.iter().for_each(|tag| drop(git(root, &["tag", tag])));
            for _ in 0..commits {
                git(root, &["commit", "--quiet", "--allow-empty", "--message", "more"]);
            }
            let commit = git(root, &["rev-parse", "HEAD"]);
            leave_repository(root, &commit).unwrap();
            assert!(!root.join(".git").exists());
            (fs::read_to_string(root.join(FILE)).unwrap(), commit)
        };
        let (text, commit) = make(None, &["v1.2.0"], 0);
        assert_eq!(text, format!("node: {commit}\ndescribe-name: v1.2.0\n"));
        let (text, commit) = make(Some("describe-name: $Format:%(describe:tags=true)$\n"), &["v1.2.0", "latest"], 2);
        assert_eq!(text, format!("node: {commit}\ndescribe-name: v1.2.0-2-g{}\n", &commit[..12]));
        let (text, commit) = make(None, &[], 0);
        assert_eq!(text, format!("node: {commit}\n"));
        assert_eq!(make(Some("node: abc\n"), &["v3"], 0).0, "node: abc\n");
    }

    #[test]
    fn a_link_is_not_followed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, target) = (folder.path(), other.path().join("target"));
        git(root, &["init", "--quiet"]);
        std::os::unix::fs::symlink(&target, root.join(FILE)).unwrap();
        git(root, &["add", "--all"]);
        git(root, &["commit", "--quiet", "--message", "1"]);
        leave_repository(root, "0123").unwrap();
        assert!(!target.exists());
        assert_eq!(fs::read_to_string(root.join(FILE)).unwrap(), "node: 0123\n");
    }
}
