//! Uncommitted changes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use drivers::git::GitError;
use protocols::failure::FailureClass;

use crate::fixture::{Fixture, branch, git_in};

/// Changes the origin's files with `change`, and expects the same files after the diff was applied elsewhere.
#[track_caller]
fn check(prepare: impl Fn(&std::path::Path), change: impl Fn(&std::path::Path), damage: impl Fn(String) -> String) {
    let fixture = Fixture::new();
    prepare(&fixture.origin());
    fixture.git(&["add", "--all"]);
    fixture.git(&["commit", "--quiet", "--allow-empty", "-m", "before"]);
    change(&fixture.origin());
    let expected = files(&fixture.origin());
    let diff = damage(fixture.take_diff());
    let root = fixture.check_out(&branch("main"), &diff, "tree").unwrap().root;
    assert_eq!(files(&root), expected, "{diff}");
    assert_ne!(git_in(&root, &["status", "--porcelain"]), "");
}

/// Names, contents and executable bits of all files.
fn files(root: &std::path::Path) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != ".git") {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(root).unwrap().as_os_str().as_bytes().to_owned();
                let mode = entry.metadata().unwrap().permissions().mode();
                found.push((name, fs::read(entry.path()).unwrap(), mode & 0o100 != 0));
            }
        }
    }
    found.sort();
    found
}

fn write(root: &std::path::Path, name: impl AsRef<OsStr>, content: &[u8]) {
    let path = root.join(name.as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn text_new_deleted_renamed_and_mode() {
    let long: String = (0..50).map(|number| format!("line {number}\n")).collect();
    check(
        |root| {
            write(root, "old.py", long.as_bytes());
            write(root, "gone.py", b"x\n");
            write(root, "run.sh", b"#!/bin/sh\n");
        },
        |root| {
            write(root, "train.py", b"print('changed')\n");
            write(root, "a/b/new.py", b"no line end");
            fs::rename(root.join("old.py"), root.join("moved.py")).unwrap();
            fs::remove_file(root.join("gone.py")).unwrap();
            fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        },
        |diff| diff,
    );
}

#[test]
fn binary_files() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    check(
        |root| write(root, "model.bin", &bytes),
        |root| {
            write(root, "model.bin", &bytes.iter().rev().copied().collect::<Vec<_>>());
            write(root, "new.bin", &bytes[..700]);
        },
        |diff| diff,
    );
}

#[test]
fn names_that_are_not_utf8() {
    let name = OsStr::from_bytes(b"caf\xe9.py");
    check(|root| write(root, name, b"a\n"), |root| write(root, name, b"b\n"), |diff| diff);
    check(|_| {}, |root| write(root, "with space/\u{e9}.py", b"b\n"), |diff| diff);
}

#[test]
fn carriage_returns_of_a_file_stay() {
    let before = b"a\r\nb\r\nc\r\n";
    check(|root| write(root, "dos.py", before), |root| write(root, "dos.py", b"a\r\nB\r\nc\r\n"), |diff| diff);
}

#[test]
fn carriage_returns_of_a_browser_go() {
    let change = |root: &std::path::Path| write(root, "train.py", b"print('two')\nprint('three')\n");
    check(|_| {}, change, |diff| diff.replace('\n', "\r\n"));
}

#[test]
fn lost_carriage_returns_are_forgiven() {
    let fixture = Fixture::new();
    fixture.commit("dos.py", b"a\r\nb\r\nc\r\n");
    write(&fixture.origin(), "dos.py", b"a\r\nB\r\nc\r\n");
    let diff = fixture.take_diff().replace('\r', "");
    let root = fixture.check_out(&branch("main"), &diff, "tree").unwrap().root;
    assert!(fs::read_to_string(root.join("dos.py")).unwrap().contains("B\n"));
    assert!(fixture.shown().contains("white space"), "{}", fixture.shown());
}

#[test]
fn what_trimming_cut_off_is_restored() {
    let change = |root: &std::path::Path| write(root, "late.py", b"x\n1\n\n\n\n2\n");
    check(|root| write(root, "late.py", b"0\n1\n\n\n\n2\n"), change, |diff| diff.trim().to_owned());
}

#[test]
fn context_free_hunks_apply() {
    let fixture = Fixture::new();
    fixture.commit("n.py", b"1\n2\n3\n4\n");
    write(&fixture.origin(), "n.py", b"1\nx\n3\n4\n");
    let diff = fixture.git(&["diff", "--unified=0", "HEAD"]);
    let root = fixture.check_out(&branch("main"), &diff, "tree").unwrap().root;
    assert_eq!(fs::read(root.join("n.py")).unwrap(), b"1\nx\n3\n4\n");
}

#[test]
fn a_diff_that_does_not_apply_names_file_and_place() {
    let fixture = Fixture::new();
    let id = fixture.git(&["rev-parse", "HEAD"]);
    let failing = |diff: &str| {
        let error = fixture.check_out(&branch("main"), diff, "tree").unwrap_err();
        assert!(matches!(error, GitError::Diff { .. }), "{error:?}");
        assert_eq!((error.class(), error.is_transient()), (FailureClass::Code, false));
        error.to_string()
    };
    let expect = |diff: &str, detail: &str| {
        assert_eq!(failing(diff), format!("uncommitted changes do not apply to commit {id}: {detail}"));
    };
    let wrong = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-other\n+x\n";
    expect(wrong, "file train.py, at line 1");
    let missing = wrong.replace("train.py", "sub/no.py");
    expect(&missing, "file sub/no.py: No such file or directory");
    let exists =
        "diff --git a/train.py b/train.py\nnew file mode 100644\n--- /dev/null\n+++ b/train.py\n@@ -0,0 +1 @@\n+x\n";
    expect(exists, "conflict in train.py (file train.py: already exists in working directory)");
    expect(
        "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1,9 +1 @@\n-x\n",
        "the diff is damaged at its line 6",
    );
}

#[test]
fn an_empty_diff_changes_nothing() {
    let fixture = Fixture::new();
    let root = fixture.check_out(&branch("main"), " \n\n", "tree").unwrap().root;
    assert_eq!(git_in(&root, &["status", "--porcelain"]), "");
}
