//! Applies a task's uncommitted changes.
//!
//! git itself applies them: all or nothing, binary patches, renames and modes included. What recording a diff as
//! text may have done to it (blank lines cut from its end, line ends of another system) is tried to be undone, and so is
//! what the user's configuration of git has (colours, other prefixes than `a/` and `b/`); where
//! the code has moved on since, the change is merged with it. What belongs to submodules is applied inside them.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Component, Path};

use super::access::Access;
use super::colour::without_colour;
use super::error::GitError;
use super::output;
use super::patch::{self, Change};
use super::prefix;
use super::worktree::submodule_folders;
use crate::command::Finished;

/// One repository with changes to make.
struct Target<'a> {
    /// Where git runs.
    folder: &'a Path,
    access: &'a Access<'a>,
}

/// Applies `diff` to the work tree at `root`, which has `commit` checked out. An empty diff is nothing to do.
pub(crate) fn apply(
    root: &Path,
    commit: &str,
    diff: &str,
    access: &Access<'_>,
    progress: &dyn Fn(&str),
) -> Result<(), GitError> {
    if diff.trim().is_empty() {
        return Ok(());
    }
    let refused = |detail| GitError::Diff { commit: commit.to_owned(), detail };
    let diff = complete(&without_colour(diff));
    for change in patch::changes(&prefix::with_usual(&diff), &submodule_folders(root)) {
        match change {
            Change::Move { folder, commit } => move_submodule(&root.join(folder), &commit, access, progress)?,
            Change::Patch { folder, text } => {
                let target = Target { folder: &root.join(&folder), access };
                target.apply(&text, progress)?.map_err(refused)?;
            }
        }
    }
    Ok(())
}

/// Leaves a submodule at a commit that the recorded change names.
fn move_submodule(folder: &Path, commit: &str, access: &Access<'_>, progress: &dyn Fn(&str)) -> Result<(), GitError> {
    let run = |command| access.commands().run(command, &mut |_| {});
    let object = format!("{commit}^{{commit}}");
    let is_here = run(access.git(folder).arguments(["cat-file", "-e"]).argument(object))?.is_success();
    if !is_here {
        progress(&format!("fetching commit {commit} of a submodule, which the uncommitted changes name"));
        let fetched = run(access.remote_git(folder).arguments(["fetch", "--quiet", "origin", commit]))?;
        if !fetched.is_success() {
            // Not every server gives a commit by its id.
            run(access.remote_git(folder).arguments(["fetch", "--quiet", "--tags", "origin"]))?;
        }
    }
    let checked_out = run(access.git(folder).arguments(["checkout", "--quiet", "--detach", "--force", commit]))?;
    if checked_out.is_success() {
        return Ok(());
    }
    let url = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(GitError::UnknownCommit { commit: commit.to_owned(), url: format!("submodule {url}") })
}

impl Target<'_> {
    /// Applies a patch in one of the ways that there are; the inner error says why none is one.
    fn apply(&self, patch: &str, progress: &dyn Fn(&str)) -> Result<Result<(), String>, GitError> {
        self.make_empty_files(patch)?;
        let first = self.run(patch, &[])?;
        if first.is_success() {
            return Ok(Ok(()));
        }
        if output::is_disk_full(&first.tail) {
            return Err(GitError::DiskFull { path: self.folder.to_owned() });
        }
        if let Cow::Owned(unix) = with_unix_line_ends(patch)
            && self.run(&unix, &[])?.is_success()
        {
            return Ok(Ok(()));
        }
        if self.run(patch, &["--ignore-whitespace"])?.is_success() {
            progress("the uncommitted changes were applied although white space around them differs from the commit");
            return Ok(Ok(()));
        }
        let merged = self.run(patch, &["--3way"])?;
        if merged.is_success() {
            // As with the other ways, the changes are uncommitted and not staged.
            self.access.commands().run(self.access.git(self.folder).arguments(["reset", "--quiet"]), &mut |_| {})?;
            progress("the uncommitted changes are of another commit: applied by a three-way merge");
            return Ok(Ok(()));
        }
        let conflicts: Vec<&str> = merged.tail.iter().filter_map(|line| line.strip_prefix("U ")).collect();
        let detail = detail(&first.tail, self.access);
        Ok(Err(match conflicts.is_empty() {
            true => detail,
            false => format!("conflict in {} ({detail})", conflicts.join(", ")),
        }))
    }

    fn run(&self, patch: &str, options: &[&str]) -> Result<Finished, GitError> {
        let failed = || GitError::io("write", std::env::temp_dir());
        let mut file: File = tempfile::tempfile().map_err(failed())?;
        file.write_all(patch.as_bytes()).and_then(|()| file.rewind()).map_err(failed())?;
        let command = self.access.git(self.folder).arguments(["apply", "--unidiff-zero", "--whitespace=nowarn"]);
        let command = command.arguments(options).argument("-").input(file);
        Ok(self.access.commands().run(command, &mut |_| {})?)
    }

    fn make_empty_files(&self, patch: &str) -> Result<(), GitError> {
        for name in patch::empty_files(patch) {
            let path = self.folder.join(name);
            let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if is_inside && path.symlink_metadata().is_err() {
                let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create_new(&path));
                made.map_err(GitError::io("make", &path))?;
            }
        }
        Ok(())
    }
}

/// Ends the diff with a line end, and gives its last hunk the blank lines back that trimming has cut off.
fn complete(diff: &str) -> String {
    let mut text = diff.trim_start_matches(['\n', '\r']).to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let last = text.rfind("\ndiff --git ").map_or(text.as_str(), |at| &text[at..]);
    if last.contains("\nGIT binary patch\n") {
        // An empty line ends the bytes.
        text.push('\n');
        return text;
    }
    let missing = missing_context(&text);
    text.push_str(&" \n".repeat(missing));
    text
}

/// How many lines of context the last hunk lacks.
fn missing_context(diff: &str) -> usize {
    let lines: Vec<&str> = diff.lines().collect();
    let Some(position) = lines.iter().rposition(|line| line.starts_with("@@ -")) else { return 0 };
    let Some((mut old, mut new)) = hunk_sizes(lines[position]) else { return 0 };
    for line in &lines[position + 1..] {
        match line.as_bytes().first() {
            Some(b'-') => old -= 1,
            Some(b'+') => new -= 1,
            Some(b' ') | None => (old, new) = (old - 1, new - 1),
            Some(_) => {}
        }
    }
    if old == new { usize::try_from(old).unwrap_or(0) } else { 0 }
}

/// The numbers of old and of new lines of `@@ -1,4 +1,5 @@`; one where a number is left out.
fn hunk_sizes(header: &str) -> Option<(i64, i64)> {
    let mut ranges = header.trim_start_matches("@@ ").split(' ');
    let mut size = |sign: char| {
        let range = ranges.next()?.strip_prefix(sign)?;
        range.split_once(',').map_or(Some(1), |(_, size)| size.parse().ok())
    };
    Some((size('-')?, size('+')?))
}

/// The diff without the carriage returns that something has put at the end of every line, git's own included.
fn with_unix_line_ends(diff: &str) -> Cow<'_, str> {
    const HEADERS: [&str; 3] = ["diff --git ", "+++ b/", "@@ -"];
    let is_foreign =
        diff.split('\n').any(|line| line.ends_with('\r') && HEADERS.iter().any(|header| line.starts_with(header)));
    if is_foreign { Cow::Owned(diff.replace("\r\n", "\n")) } else { Cow::Borrowed(diff) }
}

/// The first file or hunk that git complains about.
fn detail(tail: &[String], access: &Access<'_>) -> String {
    let complaints: Vec<&str> = tail.iter().filter_map(|line| line.strip_prefix("error: ")).collect();
    let Some(first) = complaints.first() else { return output::reason(tail, access.scrubber()) };
    if let Some((file, line)) = first.strip_prefix("patch failed: ").and_then(|place| place.rsplit_once(':')) {
        return format!("file {file}, at line {line}");
    }
    if let Some(line) = first.strip_prefix("corrupt patch at line ") {
        return format!("the diff is damaged at its line {line}");
    }
    match first.rsplit_once(": ") {
        Some((file, complaint)) => format!("file {file}: {complaint}"),
        None => (*first).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_context_that_was_trimmed_comes_back() {
        let check = |diff: &str, expected: &str| assert_eq!(complete(diff), expected);
        let whole = "--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@\n-a\n+b\n c\n \n \n";
        check(whole.trim_end(), whole);
        check(whole, whole);
        check("\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
        let binary =
            "diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 3\nKcmZo\n\nliteral 4\nLcmZQ\n\n";
        check(binary.trim_end(), binary);
        check("diff --git a/x b/x\ndeleted file mode 100644", "diff --git a/x b/x\ndeleted file mode 100644\n");
    }

    #[test]
    fn line_ends_of_a_file_are_not_taken_for_those_of_the_diff() {
        assert!(matches!(with_unix_line_ends("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\r\n"), Cow::Borrowed(_)));
        let foreign = "--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n";
        assert_eq!(with_unix_line_ends(foreign), foreign.replace('\r', ""));
    }
}
