//! Mirrors and work trees.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drivers::command::{CommandRunner, SystemCommands};
use drivers::git::GitError;
use protocols::failure::FailureClass;
use protocols::task::Revision;

use crate::fixture::{Fixture, branch, commit, git_in};

#[test]
fn every_kind_of_revision_is_found() {
    let fixture = Fixture::new();
    let first = fixture.git(&["rev-parse", "HEAD"]);
    fixture.git(&["tag", "-a", "v1", "-m", "one"]);
    let second = fixture.commit("train.py", b"print('two')\n");
    fixture.git(&["branch", "feature/x", &first]);
    let check = |revision: Revision, expected: &str| {
        let checked_out = fixture.check_out(&revision, "", "tree").unwrap();
        assert_eq!(checked_out.commit, expected, "{revision}");
        assert_eq!(git_in(&checked_out.root, &["rev-parse", "HEAD"]), expected);
    };
    check(Revision::Default, &second);
    check(branch("main"), &second);
    check(branch("origin/feature/x"), &first);
    check(Revision::Tag("v1".into()), &first);
    check(commit(&first), &first);
    check(commit(&first[..10]), &first);
    check(commit(&fixture.git(&["rev-parse", "v1"])), &first);
    check(commit("main"), &second);
    assert_eq!(fs::read(fixture.path("tree/train.py")).unwrap(), b"print('two')\n");
}

#[test]
fn a_work_tree_is_one_that_git_can_work_with() {
    let fixture = Fixture::new();
    fixture.git(&["tag", "v7"]);
    fixture.commit("run.sh", b"#!/bin/sh\n");
    fixture.git(&["update-index", "--chmod=+x", "run.sh"]);
    fixture.git(&["commit", "--quiet", "-m", "mode"]);
    let url = fixture.origin().display().to_string();
    let root = fixture.check_out(&branch("main"), "", "tree").unwrap().root;
    assert_eq!(git_in(&root, &["status", "--porcelain"]), "");
    assert_eq!(git_in(&root, &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    assert_eq!(git_in(&root, &["remote", "get-url", "origin"]), url);
    assert_eq!(git_in(&root, &["log", "--format=%s", "-1", "origin/main"]), "mode");
    assert!(git_in(&root, &["describe", "--tags"]).starts_with("v7-2-g"));
    assert_eq!(git_in(&root, &["ls-files", "--stage", "run.sh"]).get(..6), Some("100755"));
    git_in(&root, &["fsck", "--connectivity-only"]);
    fs::write(root.join("new.txt"), "x").unwrap();
    git_in(&root, &["add", "new.txt"]);
    git_in(&root, &["commit", "--quiet", "-m", "works"]);
}

#[test]
fn a_known_commit_costs_no_network() {
    let fixture = Fixture::new();
    let id = fixture.git(&["rev-parse", "HEAD"]);
    fixture.check_out(&commit(&id), "", "one").unwrap();
    assert!(fixture.has_fetched());
    fixture.lines.lock().unwrap().clear();
    fs::rename(fixture.origin(), fixture.path("elsewhere")).unwrap();
    fixture.check_out(&commit(&id), "", "two").unwrap();
    fixture.check_out(&commit(&id[..8]), "", "three").unwrap();
    assert!(!fixture.has_fetched());
    let error = fixture.check_out(&branch("main"), "", "four").unwrap_err();
    assert!(matches!(&error, GitError::Fetch { is_transient: false, .. }), "{error:?}");
}

#[test]
fn where_fetching_fails_a_clone_may_do() {
    let mut fixture = Fixture::new();
    fixture.settings.fetch_arguments = vec!["--all".into(), "--depth=1".into(), "--no-auto-maintenance".into()];
    let first = fixture.git(&["rev-parse", "HEAD"]);
    fixture.check_out(&branch("main"), "", "attempt-1/code").unwrap();
    let second = fixture.commit("train.py", b"print('two')\n");
    // What git cannot work with, and what opens all the same.
    let config = fixture.mirror().join("config");
    let broken = fs::read_to_string(&config).unwrap() + "[fetch]\n\tnegotiationAlgorithm = nonsense\n";
    fs::write(&config, broken).unwrap();
    let error = fixture.check_out(&commit(&second), "", "attempt-2/code").unwrap_err();
    assert!(matches!(&error, GitError::Fetch { is_transient: false, .. }), "{error:?}");
    fixture.settings.cache.clone_on_failure = true;
    assert_eq!(fixture.check_out(&commit(&second), "", "attempt-3/code").unwrap().commit, second);
    assert!(fixture.shown().contains("cloning, for this task alone"), "{}", fixture.shown());
    // The history is whole, whatever was asked for.
    assert_eq!(git_in(&fixture.path("attempt-3/code"), &["rev-parse", "HEAD~1"]), first);
}

#[test]
fn a_commit_that_no_branch_holds_is_fetched_by_its_id() {
    let fixture = Fixture::new();
    let kept = fixture.git(&["rev-parse", "HEAD"]);
    let lost = fixture.commit("train.py", b"lost\n");
    fixture.git(&["update-ref", "refs/pull/1/head", &lost]);
    fixture.git(&["reset", "--quiet", "--hard", &kept]);
    assert_eq!(fixture.check_out(&commit(&lost), "", "tree").unwrap().commit, lost);
}

#[test]
fn a_branch_that_became_a_folder_of_branches_is_followed() {
    let fixture = Fixture::new();
    fixture.git(&["branch", "topic"]);
    fixture.check_out(&branch("topic"), "", "one").unwrap();
    fixture.git(&["branch", "--quiet", "-D", "topic"]);
    fixture.git(&["branch", "topic/next"]);
    fixture.check_out(&branch("topic/next"), "", "two").unwrap();
    let error = fixture.check_out(&branch("topic"), "", "three").unwrap_err();
    assert!(matches!(&error, GitError::UnknownRevision { .. }), "{error:?}");
}

#[test]
fn an_unknown_commit_comes_with_advice() {
    let fixture = Fixture::new();
    let id = "1234567890123456789012345678901234567890";
    let error = fixture.check_out(&commit(id), "", "tree").unwrap_err();
    assert!(matches!(&error, GitError::UnknownCommit { commit, .. } if commit == id), "{error:?}");
    assert!(error.to_string().contains("push it"), "{error}");
    assert_eq!((error.class(), error.is_transient()), (FailureClass::Code, false));
    let error = fixture.check_out(&branch("a..b:c"), "", "tree").unwrap_err();
    assert!(matches!(error, GitError::UnknownRevision { .. }));
}

#[test]
fn a_repository_that_is_not_there_is_named() {
    let fixture = Fixture::new();
    let url = fixture.path("nowhere").display().to_string();
    let error = fixture.check_out_url(&url, &Revision::Default, "", "tree", &fixture.commands()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("nowhere") && text.contains("fatal:"), "{text}");
    let url = "http://me:hunter2@127.0.0.1:1/r.git";
    let error = fixture.check_out_url(url, &Revision::Default, "", "tree", &fixture.commands()).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
}

#[test]
fn tasks_of_one_repository_start_together() {
    let fixture = Fixture::new();
    let id = fixture.git(&["rev-parse", "HEAD"]);
    std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let (fixture, id) = (&fixture, &id);
                scope.spawn(move || fixture.check_out(&commit(id), "", &format!("tree{number}")))
            })
            .collect();
        for task in tasks {
            assert_eq!(task.join().unwrap().unwrap().commit, id);
        }
    });
    assert_eq!(fixture.shown().matches("fetching commit").count(), 1, "{}", fixture.shown());
}

#[test]
fn what_a_killed_fetch_left_does_no_harm() {
    let fixture = Fixture::new();
    fixture.check_out(&branch("main"), "", "one").unwrap();
    let mirror = fixture.mirror();
    for lock in ["packed-refs.lock", "refs/heads/main.lock", "config.lock"] {
        fs::write(mirror.join(lock), "").unwrap();
    }
    fs::create_dir_all(mirror.with_extension("new")).unwrap();
    let second = fixture.commit("train.py", b"print('two')\n");
    assert_eq!(fixture.check_out(&branch("main"), "", "two").unwrap().commit, second);
    fs::remove_dir_all(&mirror).unwrap();
    fs::create_dir(&mirror).unwrap();
    fs::write(mirror.join("HEAD"), "half").unwrap();
    assert_eq!(fixture.check_out(&branch("main"), "", "three").unwrap().commit, second);
}

#[test]
fn a_mirror_that_lost_objects_is_repaired() {
    let fixture = Fixture::new();
    let id = fixture.git(&["rev-parse", "HEAD"]);
    fixture.check_out(&commit(&id), "", "one").unwrap();
    let tree = fixture.git(&["rev-parse", "HEAD^{tree}"]);
    let mirror = fixture.mirror();
    // Leaves the commit alone, as an object of its own.
    let commit_text = git_in(&mirror, &["cat-file", "commit", &id]) + "\n";
    fs::remove_dir_all(mirror.join("objects/pack")).unwrap();
    fs::create_dir(mirror.join("objects/pack")).unwrap();
    fs::write(fixture.path("commit"), commit_text).unwrap();
    let path = fixture.path("commit").display().to_string();
    assert_eq!(git_in(&mirror, &["hash-object", "-t", "commit", "-w", "--literally", &path]), id);
    fixture.check_out(&commit(&id), "", "two").unwrap();
    git_in(&mirror, &["cat-file", "-e", &tree]);
    assert!(fixture.shown().contains("incomplete"), "{}", fixture.shown());
}

#[test]
fn submodules_come_with_the_commit() {
    let inner = Fixture::new();
    inner.commit("inner.py", b"print('inner')\n");
    let outer = Fixture::new();
    let url = inner.origin().display().to_string();
    outer.git(&["submodule", "--quiet", "add", &url, "sub"]);
    outer.commit_all();
    fs::write(outer.origin().join("sub/inner.py"), "print('changed')\n").unwrap();
    let diff = outer.git(&["diff", "--submodule=diff", "HEAD"]);
    let root = outer.check_out(&branch("main"), "", "tree").unwrap().root;
    assert_eq!(fs::read(root.join("sub/inner.py")).unwrap(), b"print('inner')\n");
    let root = outer.check_out(&branch("main"), &diff, "tree").unwrap().root;
    assert_eq!(fs::read(root.join("sub/inner.py")).unwrap(), b"print('changed')\n");
    assert!(root.join("sub/.git").exists());
}

#[test]
fn a_submodule_that_is_gone_is_a_clear_error() {
    let inner = Fixture::new();
    let outer = Fixture::new();
    outer.git(&["submodule", "--quiet", "add", &inner.origin().display().to_string(), "sub"]);
    outer.commit_all();
    fs::remove_dir_all(inner.origin()).unwrap();
    let error = outer.check_out(&branch("main"), "", "tree").unwrap_err();
    assert!(matches!(&error, GitError::Submodules { detail, .. } if detail.contains("sub")), "{error:?}");
}

#[test]
fn lfs_is_used_where_it_is_installed() {
    let fixture = Fixture::new();
    fixture.commit("data/.gitattributes", b"*.bin filter=lfs diff=lfs merge=lfs -text\n");
    let bin = fixture.path("bin");
    fs::create_dir(&bin).unwrap();
    let search_path = |folders: &str| {
        let variables = std::env::vars_os().filter(|(name, _)| name != "PATH");
        variables.chain([("PATH".into(), folders.into())]).collect::<Vec<_>>()
    };
    // A PATH without git-lfs, whatever this machine has.
    for program in ["git", "sh", "tr", "printf"] {
        symlink(installed(program), bin.join(program)).unwrap();
    }
    let commands = SystemCommands::new(search_path(&bin.display().to_string()), Arc::default());
    let url = fixture.origin().display().to_string();
    fixture.check_out_url(&url, &branch("main"), "", "one", &commands).unwrap();
    assert!(fixture.shown().contains("git-lfs is not installed"), "{}", fixture.shown());
    let log = fixture.path("lfs.log");
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n", log.display());
    write_script(&bin.join("git-lfs"), &script);
    fixture.check_out_url(&url, &branch("main"), "", "two", &commands).unwrap();
    assert_eq!(fs::read_to_string(log).unwrap(), "install --local --skip-repo\npull\n");
}

fn installed(program: &str) -> PathBuf {
    SystemCommands::inheriting(Arc::default()).find(program).unwrap()
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn many_fetches_do_not_leave_many_packs() {
    let fixture = Fixture::new();
    let mut last = String::new();
    let mut lost = Vec::new();
    for number in 0..45 {
        last = fixture.commit("train.py", format!("print({number})\n").as_bytes());
        fixture.check_out(&branch("main"), "", "tree").unwrap();
        if number % 10 == 0 {
            // Rewritten away: nothing but the mirror's packs has it.
            lost.push(last.clone());
            fixture.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        }
    }
    let packs = fs::read_dir(fixture.mirror().join("objects/pack")).unwrap();
    let packs = packs.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|it| it == "pack")).count();
    assert!(packs <= 40, "{packs} packs");
    for id in lost.iter().chain([&last]) {
        git_in(&fixture.mirror(), &["cat-file", "-e", &format!("{id}^{{tree}}")]);
    }
    git_in(&fixture.path("tree"), &["fsck", "--connectivity-only"]);
}

#[test]
fn a_stopped_task_gets_no_code() {
    let fixture = Fixture::new();
    let commands = SystemCommands::inheriting(Arc::new(AtomicBool::new(true)));
    let url = fixture.origin().display().to_string();
    let error = fixture.check_out_url(&url, &Revision::Default, "", "tree", &commands).unwrap_err();
    assert!(error.is_stopped(), "{error:?}");
}
