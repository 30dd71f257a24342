//! Applies a task's uncommitted changes.
//!
//! git itself applies them: all or nothing, binary patches, renames and modes included. What recording a diff as
//! text may have done to it (blank lines cut from its end, line ends of another system) is tried to be undone.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use super::access::Access;
use super::error::GitError;
use super::output;
use crate::command::Finished;

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
    let diff = complete(diff);
    let first = run(root, &diff, &[], access)?;
    if first.is_success() {
        return Ok(());
    }
    if output::is_disk_full(&first.tail) {
        return Err(GitError::DiskFull { path: root.to_owned() });
    }
    if let Cow::Owned(unix) = with_unix_line_ends(&diff)
        && run(root, &unix, &[], access)?.is_success()
    {
        return Ok(());
    }
    if run(root, &diff, &["--ignore-whitespace"], access)?.is_success() {
        progress("the uncommitted changes were applied although white space around them differs from the commit");
        return Ok(());
    }
    Err(GitError::Diff { commit: commit.to_owned(), detail: detail(&first.tail, access) })
}

fn run(root: &Path, diff: &str, options: &[&str], access: &Access<'_>) -> Result<Finished, GitError> {
    let failed = || GitError::io("write", std::env::temp_dir());
    let mut patch: File = tempfile::tempfile().map_err(failed())?;
    patch.write_all(diff.as_bytes()).and_then(|()| patch.rewind()).map_err(failed())?;
    let command = access.git(root).arguments(["apply", "--unidiff-zero", "--whitespace=nowarn"]);
    let command = command.arguments(options).argument("-").input(patch);
    Ok(access.commands().run(command, &mut |_| {})?)
}

/// Ends the diff with a line end, and gives its last hunk the blank lines back that trimming has cut off.
fn complete(diff: &str) -> String {
    let mut text = diff.trim_start_matches(['\n', '\r']).to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
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
        check("diff --git a/x b/x\ndeleted file mode 100644", "diff --git a/x b/x\ndeleted file mode 100644\n");
    }

    #[test]
    fn line_ends_of_a_file_are_not_taken_for_those_of_the_diff() {
        assert!(matches!(with_unix_line_ends("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\r\n"), Cow::Borrowed(_)));
        let foreign = "--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n";
        assert_eq!(with_unix_line_ends(foreign), foreign.replace('\r', ""));
    }
}
