//! Takes a recorded diff apart: which of its sections belong to which submodule, and which only move a submodule to
//! another commit. Pure.

use super::prefix::relative_to;

/// What a diff wants of one repository: the root's (folder ``) or that of a submodule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Text for `git apply`.
    Patch {
        /// Folder of the repository, relative to the root; empty for the root itself.
        folder: String,
        /// The sections, one after another, with names as that repository has them.
        text: String,
    },
    /// A submodule is to be at another commit.
    Move {
        /// Folder of the submodule, relative to the root.
        folder: String,
        /// Whole id of the commit.
        commit: String,
    },
}

/// Takes a diff with the usual prefixes apart, in its order. `submodules` are folders relative to the root.
pub(crate) fn changes(diff: &str, submodules: &[String]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for section in sections(diff) {
        if let Some((folder, commit)) = moved(section) {
            if let (true, Some(commit)) = (submodules.contains(&folder), commit) {
                changes.push(Change::Move { folder, commit });
            }
            continue;
        }
        let owner = owner(section, submodules);
        let section = relative_to(section, &owner);
        match changes.last_mut() {
            Some(Change::Patch { folder, text }) if *folder == owner => text.push_str(&section),
            Some(Change::Patch { .. } | Change::Move { .. }) | None => {
                changes.push(Change::Patch { folder: owner, text: section.into_owned() });
            }
        }
    }
    changes
}

/// Files of which a patch says that they are there and empty, as old versions of git record files that are new.
pub(crate) fn empty_files(patch: &str) -> impl Iterator<Item = &str> {
    sections(patch).into_iter().filter_map(|section| {
        let mut lines = section.lines();
        let is_empty = section.lines().take(6).any(|line| line.starts_with("index e69de29"));
        let is_marked = section.contains("\nnew file mode ") || section.contains("\ndeleted file mode ");
        lines.find_map(|line| line.strip_prefix("--- a/")).filter(|_| is_empty && !is_marked)
    })
}

/// One section per file. What stands before the first header is part of the first section.
pub(super) fn sections(diff: &str) -> Vec<&str> {
    const HEADER: &str = "diff --git ";
    let starts = diff.match_indices(HEADER).map(|(at, _)| at).filter(|at| *at == 0 || diff[..*at].ends_with('\n'));
    let mut starts: Vec<usize> = starts.collect();
    match starts.first_mut() {
        Some(first) => *first = 0,
        None => starts.push(0),
    }
    let ends = starts.iter().skip(1).copied().chain([diff.len()]);
    starts.iter().zip(ends).map(|(start, end)| &diff[*start..end]).collect()
}

/// The submodule of a section that says nothing but its commit, and that commit if it is another one.
fn moved(section: &str) -> Option<(String, Option<String>)> {
    let commit = |sign: char| {
        let line = section.lines().find_map(|line| line.strip_prefix(sign)?.strip_prefix("Subproject commit "))?;
        Some(line.trim().trim_end_matches("-dirty").to_owned())
    };
    let (old, new) = (commit('-'), commit('+'));
    if old.is_none() && new.is_none() {
        return None;
    }
    let folder = section.lines().find_map(|line| line.strip_prefix("+++ b/"))?;
    Some((folder.trim().to_owned(), new.filter(|new| Some(new) != old.as_ref())))
}

/// The innermost submodule that a section's file lies in.
fn owner(section: &str, submodules: &[String]) -> String {
    let header = section.lines().find_map(|line| line.strip_prefix("diff --git "));
    let path = header.map(|header| header.trim_start_matches('"')).and_then(|header| header.strip_prefix("a/"));
    let lies_in = |folder: &&String| {
        path.and_then(|path| path.strip_prefix(folder.as_str())).is_some_and(|rest| rest.starts_with('/'))
    };
    submodules.iter().filter(lies_in).max_by_key(|folder| folder.len()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: &str = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+diff --git\n";
    const INSIDE: &str = "diff --git a/libs/s/y b/libs/s/y\n--- a/libs/s/y\n+++ b/libs/s/y\n@@ -1 +1 @@\n-a\n+b\n";

    fn patch(folder: &str, text: &str) -> Change {
        Change::Patch { folder: folder.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn sections_go_to_the_repository_of_their_file() {
        let submodules = ["libs/s".to_owned(), "libs".to_owned()];
        let diff = format!("{OUTSIDE}Submodule libs/s 1..2:\n{INSIDE}{OUTSIDE}");
        let before = format!("{OUTSIDE}Submodule libs/s 1..2:\n");
        let inside = INSIDE.replace("libs/s/", "");
        assert_eq!(changes(&diff, &submodules), [patch("", &before), patch("libs/s", &inside), patch("", OUTSIDE)]);
        assert_eq!(changes(&diff, &[]), [patch("", &diff)]);
        assert_eq!(changes("--- a/x\n+++ b/x\n", &submodules), [patch("", "--- a/x\n+++ b/x\n")]);
    }

    #[test]
    fn a_submodule_moves() {
        let section = |old: &str, new: &str| {
            format!(
                "diff --git a/s b/s\nindex {old}..{new} 160000\n--- a/s\n+++ b/s\n@@ -1 +1 @@\n\
                 -Subproject commit {old}\n+Subproject commit {new}\n"
            )
        };
        let submodules = ["s".to_owned()];
        let moved = Change::Move { folder: "s".into(), commit: "def".into() };
        assert_eq!(changes(&section("abc", "def-dirty"), &submodules), [moved]);
        assert_eq!(changes(&section("abc", "abc-dirty"), &submodules), []);
        assert_eq!(changes(&section("abc", "def"), &[]), []);
    }

    #[test]
    fn files_that_are_new_without_saying_so() {
        let old = "diff --git a/n b/n\nindex e69de29..1 100644\n--- a/n\n+++ b/n\n@@ -0,0 +1 @@\n+x\n";
        let new =
            "diff --git a/m b/m\nnew file mode 100644\nindex e69de29..1\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+x\n";
        assert_eq!(empty_files(&format!("{old}{new}")).collect::<Vec<_>>(), ["n"]);
    }
}
