//! Repositories: what is checked out, and what comes with it.

use std::path::Path;

use crate::harness::{Draft, Place, git, git_commit_all, new_repository};

use super::row::{NO_PACKAGES, Row, Table};

/// Says which version of the code it is.
fn version(word: &str) -> String {
    format!("print('OUT', {word:?})\n")
}

/// A repository with a history: commits, a branch, tags.
struct History {
    url: String,
    first: String,
    second: String,
    on_tag: String,
}

fn history(place: &Place) -> History {
    let repository = place.path("history");
    let first = new_repository(&repository, &[("run.py", &version("first"))]);
    git(&repository, &["tag", "light"]);
    git(&repository, &["tag", "--annotate", "--message", "a tag", "heavy"]);
    git(&repository, &["branch", "feature/one", &first]);
    // Reachable from a tag and from no branch.
    git(&repository, &["checkout", "--quiet", "--detach"]);
    let on_tag = git_commit_all(&repository, &[("run.py", &version("tag only"))]);
    git(&repository, &["tag", "lonely"]);
    git(&repository, &["checkout", "--quiet", "main"]);
    let second = git_commit_all(&repository, &[("run.py", &version("second"))]);
    History { url: repository.to_str().unwrap().to_owned(), first, second, on_tag }
}

fn revision_rows(history: &History) -> Vec<Row> {
    let url = history.url.as_str();
    let draft = |name: &str| Draft::repository(name, url, "run.py");
    let row = |name: &str, field: &str, value: &str, word: &str, commit: &str| {
        Row::completes(name, draft(name).with(field, value), &[word]).at_commit(commit)
    };
    let History { first, second, on_tag, .. } = history;
    vec![
        row("a commit", "version_num", first, "first", first),
        row("a commit again", "version_num", first, "first", first),
        Row::completes("a short commit", draft("short").with("version_num", &first[..9]), &["first"]),
        row("a commit with spaces around", "version_num", &format!(" {first} "), "first", first),
        row("a commit on no branch", "version_num", on_tag, "tag only", on_tag),
        row("a tag", "tag", "light", "first", first),
        row("a tag with a message", "tag", "heavy", "first", first),
        row("a tag on no branch", "tag", "lonely", "tag only", on_tag),
        row("a branch", "branch", "main", "second", second),
        row("a branch with a slash", "branch", "feature/one", "first", first),
        row("a branch of origin", "branch", "origin/feature/one", "first", first),
        row("a branch that says it is one", "branch", "heads/feature/one", "first", first),
        row("a branch's whole reference", "branch", "refs/heads/feature/one", "first", first),
        row("a tag in place of a branch", "branch", "tags/lonely", "tag only", on_tag),
        row("a tag's whole reference in place of a branch", "branch", "refs/tags/lonely", "tag only", on_tag),
        row("a tag that says it is one", "tag", "tags/heavy", "first", first),
        row("a tag's whole reference", "tag", "refs/tags/heavy", "first", first),
        Row::fails("a kind without a name", draft("kind").with("branch", "heads/gone"), "code", &["branch heads/gone"]),
        Row::completes("the default branch", draft("default"), &["second"]).at_commit(second),
        Row::completes(
            "a commit before a tag and a branch",
            draft("order").with("version_num", second.as_str()).with("tag", "light").with("branch", "feature/one"),
            &["second"],
        ),
        Row::completes("a tag before a branch", draft("tag").with("tag", "light").with("branch", "main"), &["first"]),
        Row::completes(
            "a URL of a file",
            Draft::repository("file", &format!("file://{url}"), "run.py").with("version_num", first.as_str()),
            &["first"],
        ),
        Row::fails(
            "a commit that was not pushed",
            draft("gone").with("version_num", "0123456789012345678901234567890123456789"),
            "code",
            &["0123456789012345678901234567890123456789", "push"],
        ),
        Row::fails("a branch that is not there", draft("branch").with("branch", "gone"), "code", &["branch gone"]),
        Row::fails("a tag that is not there", draft("tag").with("tag", "gone"), "code", &["tag gone"]),
        Row::fails(
            "a repository that is not there",
            Draft::repository("nowhere", &format!("{url}-nowhere"), "run.py"),
            "code",
            &["history-nowhere"],
        ),
        Row::fails(
            "a host that is not there",
            Draft::repository("host", "https://127.0.0.1:1/r.git", "run.py"),
            "code",
            &["127.0.0.1:1"],
        ),
    ]
}

const COUNTS_COMMITS: &str = "import subprocess
log = subprocess.run(['git', 'log', '--format=%s'], capture_output=True, text=True)
print('OUT', log.returncode, len(log.stdout.split()))
";

/// A remote that is a shallow clone itself.
fn shallow_rows(place: &Place) -> Vec<Row> {
    let (whole, shallow) = (place.path("whole"), place.path("shallow"));
    let first = new_repository(&whole, &[("run.py", &version("first"))]);
    let last = git_commit_all(&whole, &[("run.py", COUNTS_COMMITS)]);
    let url = format!("file://{}", whole.display());
    git(&whole, &["clone", "--quiet", "--depth", "1", &url, shallow.to_str().unwrap()]);
    let draft = |name: &str| Draft::repository(name, shallow.to_str().unwrap(), "run.py");
    vec![
        Row::completes("a shallow clone", draft("shallow"), &["0 1"]).at_commit(&last),
        Row::completes("a branch of a shallow clone", draft("branch").with("branch", "main"), &["0 1"]),
        Row::completes("a commit of a shallow clone", draft("commit").with("version_num", last.as_str()), &["0 1"]),
        Row::fails(
            "a commit before a shallow clone",
            draft("older").with("version_num", first.as_str()),
            "code",
            &[&first, "shallow", "--unshallow"],
        ),
    ]
}

const LOOKS_AT_GIT: &str = "import subprocess
def git(*arguments):
    return subprocess.run(['git', *arguments], capture_output=True, text=True).stdout.strip()
print('OUT', git('rev-parse', 'HEAD'))
print('OUT', git('log', '--format=%s'))
print('OUT', [git('status', '--porcelain'), git('rev-parse', '--abbrev-ref', 'HEAD')])
print('OUT', git('remote', 'get-url', 'origin'))
";

fn tree_rows(place: &Place) -> Vec<Row> {
    let repository = place.path("tree of files");
    let commit = new_repository(
        &repository,
        &[
            ("git.py", LOOKS_AT_GIT),
            (
                "modes.py",
                "import os\nprint('OUT', os.access('tool', os.X_OK), os.readlink('link'), open('link').read())\n",
            ),
            ("tool", "#!/bin/sh\n"),
            ("target", "pointed at"),
            ("attributes.py", "print('OUT', open('crlf.txt', 'rb').read())\n"),
            (".gitattributes", "crlf.txt text eol=crlf\n"),
            ("crlf.txt", "a\nb\n"),
        ],
    );
    git(&repository, &["update-index", "--chmod=+x", "tool"]);
    std::os::unix::fs::symlink("target", repository.join("link")).unwrap();
    git(&repository, &["add", "link"]);
    git(&repository, &["commit", "--quiet", "--message", "modes"]);
    let commit = (git(&repository, &["rev-parse", "HEAD"]), commit).0;
    let url = repository.to_str().unwrap();
    vec![
        Row::completes(
            "a real .git",
            Draft::repository("git", url, "git.py"),
            &[&commit, "modes", "['', 'HEAD']", url],
        ),
        Row::completes("modes and links", Draft::repository("modes", url, "modes.py"), &["True target pointed at"]),
        Row::completes("attributes", Draft::repository("crlf", url, "attributes.py"), &[r"b'a\r\nb\r\n'"]),
    ]
}

/// A repository with a submodule that has one of its own, and one whose URL is relative.
fn submodule_rows(place: &Place) -> Vec<Row> {
    let add = |outer: &Path, url: &str, name: &str| {
        git(outer, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, name]);
        git(outer, &["commit", "--quiet", "--message", "submodule"]);
    };
    let (inner, middle, outer) = (place.path("inner"), place.path("middle"), place.path("outer"));
    new_repository(&inner, &[("word.py", "WORD = 'inner'\n")]);
    new_repository(&middle, &[("word.py", "WORD = 'middle'\n")]);
    add(&middle, inner.to_str().unwrap(), "inner");
    let program = "from middle.inner import word as a\nfrom middle import word as b\nprint('OUT', a.WORD, b.WORD)\n";
    new_repository(&outer, &[("run.py", program)]);
    add(&outer, "../middle", "middle");
    let url = outer.to_str().unwrap();
    let plain = place.path("plain");
    new_repository(&plain, &[("run.py", "print('OUT', 'plain')\n")]);
    vec![
        Row::completes("submodules of submodules", Draft::repository("sub", url, "run.py"), &["inner middle"])
            .says("fetching submodules"),
        Row::completes("no submodules", Draft::repository("plain", plain.to_str().unwrap(), "run.py"), &["plain"])
            .never_says("submodules"),
    ]
}

/// The real files where the machine has git-lfs. Without it they stay pointers, and the task is told.
fn large_file_rows(place: &Place) -> Vec<Row> {
    let repository = place.path("large");
    let attributes = (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    new_repository(&repository, &[("run.py", "print('OUT', open('model.bin').readline().strip())\n"), attributes]);
    let draft = Draft::repository("lfs", repository.to_str().unwrap(), "run.py");
    let has_lfs = std::process::Command::new("git-lfs").arg("version").output().is_ok();
    if has_lfs {
        git(&repository, &["lfs", "install", "--local"]);
        git_commit_all(&repository, &[("model.bin", "weights\n")]);
        vec![Row::completes("files in LFS", draft, &["weights"]).says("fetching files from Git LFS")]
    } else {
        let pointer = "version https://git-lfs.github.com/spec/v1";
        git_commit_all(&repository, &[("model.bin", &format!("{pointer}\noid sha256:00\nsize 3\n"))]);
        vec![Row::completes("files in LFS, without git-lfs", draft, &[pointer]).says("git-lfs is not installed")]
    }
}

#[test]
fn what_is_checked_out() {
    let place = Place::new();
    let history = history(&place);
    let rows = [
        revision_rows(&history),
        tree_rows(&place),
        shallow_rows(&place),
        submodule_rows(&place),
        large_file_rows(&place),
    ]
    .concat();
    // As the machine's administrator may have it; what the agent does must not depend on it.
    let configuration = "[user]\n\tname = Somebody\n";
    std::fs::write(place.path("home/.gitconfig"), configuration).unwrap();
    let table = Table::start(place, &[NO_PACKAGES]);
    table.run(&rows);

    // It has become whole, and so has what is kept of it.
    let shallow = table.place().path("shallow");
    git(&shallow, &["fetch", "--quiet", "--unshallow"]);
    let draft = Draft::repository("deepened", shallow.to_str().unwrap(), "run.py");
    let older = draft.clone().with("version_num", git(&shallow, &["rev-parse", "HEAD~1"]));
    table.run(&[Row::completes("a commit of a clone that was shallow", older, &["first"])]);
    table.run(&[Row::completes("a clone that was shallow", draft, &["0 2"])]);

    // Known now: not even the repository has to be there any more.
    std::fs::rename(&history.url, format!("{}-moved", history.url)).unwrap();
    let draft = Draft::repository("known", &history.url, "run.py").with("version_num", history.first.as_str());
    table.run(&[Row::completes("a known commit costs no network", draft, &["first"]).never_says("fetching")]);

    let place = table.place();
    assert_eq!(place.read("home/.gitconfig"), configuration, "defect 09: the user's configuration was written");
    let mirrors = std::fs::read_dir(place.path("home/.cache/hostler/repositories")).unwrap();
    let names = mirrors.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let of_history = names.filter(|name| name.starts_with("history-") && name.ends_with(".git")).count();
    assert_eq!(of_history, 2, "defect 20: one mirror of `history`, one of `history-nowhere`, no copies");
    table.finish();
}
