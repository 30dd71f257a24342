//! Uncommitted changes: what the SDK records as a diff, in all its forms.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{Draft, Place, git, git_commit_all, new_repository};

use super::row::{NO_PACKAGES, Row, Table};

const COUNT: &str = "one = 1\ntwo = 2\nthree = 3\nfour = 4\nfive = 5\nsix = 6\nseven = 7\n";
const RUN: &str = "import count\nprint('OUT', [value for name, value in vars(count).items() if name[0] != '_'])\n";
const LIST: &str = "import os\nprint('OUT', sorted(name for name in os.listdir('.') if name[0] != '.'))\n";

/// A repository, and what a user does to its work tree before he enqueues.
struct Changed {
    folder: PathBuf,
}

impl Changed {
    fn new(place: &Place, name: &str, files: &[(&str, &str)]) -> Self {
        let folder = place.path(name);
        new_repository(&folder, &[&[("count.py", COUNT), ("run.py", RUN), ("list.py", LIST)], files].concat());
        Self { folder }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.folder.join(name), text).unwrap();
        self
    }

    /// The change as `git diff` has it, untrimmed; afterwards it is gone from the work tree.
    fn diff(&self, options: &[&str]) -> String {
        git(&self.folder, &["add", "--all", "--intent-to-add"]);
        let diff = git(&self.folder, &[&["diff"], options, &["HEAD"]].concat());
        git(&self.folder, &["reset", "--quiet", "--hard", "HEAD"]);
        diff
    }

    fn draft(&self, entry: &str, diff: &str) -> Draft {
        Draft::repository("changed", self.folder.to_str().unwrap(), entry).with("diff", diff)
    }

    fn head(&self) -> String {
        git(&self.folder, &["rev-parse", "HEAD"])
    }
}

fn replaced(from: &str, to: &str) -> String {
    COUNT.replace(from, to)
}

fn plain_rows(place: &Place) -> Vec<Row> {
    let code = Changed::new(place, "plain", &[("data.txt", "a\n"), ("tool.sh", "echo\n"), ("two words.py", RUN)]);
    let simple = code.write("count.py", replaced("four = 4", "four = 40")).diff(&[]);
    let bare = code.write("count.py", replaced("four = 4", "four = 40")).diff(&["-U0"]);
    let twice =
        code.write("count.py", replaced("one = 1", "one = 10").replace("seven = 7", "seven = 70")).diff(&["-U0"]);
    let new = code.write("new.py", "print('OUT', 'new')\n").diff(&[]);
    let unended = code.write("new.py", "print('OUT', 'unended')").diff(&[]);
    let spaced = code.write("two words.py", "print('OUT', 'spaced')\n").diff(&[]);
    fs::rename(code.folder.join("data.txt"), code.folder.join("moved.txt")).unwrap();
    let renamed = code.diff(&["-M"]);
    fs::remove_file(code.folder.join("data.txt")).unwrap();
    let deleted = code.diff(&[]);
    let four = "[1, 2, 3, 40, 5, 6, 7]";
    let draft = |entry: &str, diff: &str| code.draft(entry, diff);
    vec![
        Row::completes("a diff", draft("run.py", &simple), &[four]),
        Row::completes("a diff with a line end", draft("run.py", &format!("{simple}\n")), &[four]),
        Row::completes("a diff without context", draft("run.py", &bare), &[four]),
        Row::completes("two hunks without context", draft("run.py", &twice), &["[10, 2, 3, 4, 5, 6, 70]"]),
        Row::completes("a diff of another system", draft("run.py", &simple.replace('\n', "\r\n")), &[four]),
        Row::completes("a new file", draft("new.py", &new), &["new"]),
        Row::completes("a new file without a line end", draft("new.py", &unended), &["unended"]),
        Row::completes("a file with a space", draft("two words.py", &spaced), &["spaced"]),
        Row::completes(
            "a renamed file",
            draft("list.py", &renamed),
            &["['count.py', 'list.py', 'moved.txt', 'run.py', 'tool.sh', 'two words.py']"],
        ),
        Row::completes(
            "a deleted file",
            draft("list.py", &deleted),
            &["['count.py', 'list.py', 'run.py', 'tool.sh', 'two words.py']"],
        ),
        Row::completes("white space for a diff", draft("run.py", " \n\n"), &["[1, 2, 3, 4, 5, 6, 7]"]),
        Row::fails("a damaged diff", draft("run.py", &simple.replace("@@ -", "@@ +")), "code", &["changes"]),
    ]
}

fn binary_rows(place: &Place) -> Vec<Row> {
    let code = Changed::new(place, "binary", &[("size.py", "print('OUT', list(open('data.bin', 'rb').read()))\n")]);
    code.write("data.bin", [0, 1, 2, 255]);
    git_commit_all(&code.folder, &[]);
    let binary = code.write("data.bin", [9, 0, 255]).diff(&["--binary"]);
    let without = code.write("data.bin", [9, 0, 255]).diff(&[]);
    vec![
        Row::completes("a binary diff", code.draft("size.py", &binary), &["[9, 0, 255]"]),
        Row::fails("a diff that lacks the bytes", code.draft("size.py", &without), "code", &["data.bin", "binary"]),
    ]
}

/// The commit has moved on since the diff was made.
fn merged_rows(place: &Place) -> Vec<Row> {
    let code = Changed::new(place, "merged", &[]);
    let diff = code.write("count.py", replaced("four = 4", "four = 40")).diff(&[]);
    // Near enough that the context does not fit any more, and not the same line.
    let near =
        git_commit_all(&code.folder, &[("count.py", &replaced("six = 6", "six = 60").replace("two = 2", "two = 20"))]);
    let same = git_commit_all(&code.folder, &[("count.py", &replaced("four = 4", "four = 44"))]);
    let draft = |commit: &str| code.draft("run.py", &diff).with("version_num", commit);
    vec![
        Row::completes("a diff of an earlier commit", draft(&near), &["[1, 20, 3, 40, 5, 60, 7]"])
            .says("three-way merge"),
        Row::fails(
            "a diff that contradicts the commit",
            draft(&same),
            "code",
            &["uncommitted changes do not apply", "conflict", "count.py"],
        ),
        Row::fails(
            "a diff of code that nobody has",
            code.draft("run.py", "diff --git a/run.py b/run.py\n--- a/run.py\n+++ b/run.py\n@@ -1 +1 @@\n-x\n+y\n"),
            "code",
            &["uncommitted changes do not apply", "run.py"],
        ),
    ]
}

fn submodule_rows(place: &Place) -> Vec<Row> {
    let inner = Changed::new(place, "inner", &[]);
    let later = git_commit_all(&inner.folder, &[("count.py", &replaced("one = 1", "one = 100"))]);
    git(&inner.folder, &["checkout", "--quiet", "--detach"]);
    git(&inner.folder, &["branch", "--force", "main", "HEAD~1"]);
    let outer = Changed::new(
        place,
        "outer",
        &[("inside.py", "from libs.inner import count\nprint('OUT', count.one, count.four)\n")],
    );
    let allowed = ["-c", "protocol.file.allow=always"];
    let url = inner.folder.to_str().unwrap();
    git(&outer.folder, &[&allowed[..], &["submodule", "--quiet", "add", "-b", "main", url, "libs/inner"]].concat());
    git(&outer.folder, &["commit", "--quiet", "--message", "submodule"]);
    git(&inner.folder, &["branch", "later", &later]);
    let sub = outer.folder.join("libs/inner");
    let change = |path: &Path| fs::write(path.join("count.py"), replaced("four = 4", "four = 40")).unwrap();
    change(&sub);
    let inside = git(&outer.folder, &["diff", "--submodule=diff", "HEAD"]);
    fs::write(outer.folder.join("count.py"), replaced("two = 2", "two = 20")).unwrap();
    let both = git(&outer.folder, &["diff", "--submodule=diff", "HEAD"]);
    git(&sub, &["reset", "--quiet", "--hard"]);
    git(&outer.folder, &["reset", "--quiet", "--hard"]);
    git(&sub, &[&allowed[..], &["fetch", "--quiet", "origin", "later"]].concat());
    git(&sub, &["checkout", "--quiet", &later]);
    let moved = git(&outer.folder, &["diff", "HEAD"]);
    assert!(inside.starts_with("Submodule libs/inner") && moved.contains("+Subproject commit"), "{inside}\n{moved}");
    let mnemonic = git(&outer.folder, &["-c", "diff.mnemonicPrefix=true", "diff", "HEAD"]);
    let bare = git(&outer.folder, &["-c", "diff.noprefix=true", "diff", "HEAD"]);
    let commit = outer.head();
    let draft = |diff: &str| outer.draft("inside.py", diff).with("version_num", commit.as_str());
    vec![
        Row::completes("a diff in a submodule", draft(&inside), &["1 40"]),
        Row::completes("a diff in a submodule and around it", draft(&both), &["1 40"]),
        Row::completes("a submodule at another commit", draft(&moved), &["100 4"]),
        Row::completes("a submodule at another commit, with other prefixes", draft(&mnemonic), &["100 4"]),
        Row::completes("a submodule at another commit, without prefixes", draft(&bare), &["100 4"]),
    ]
}

/// What the configuration of a user makes of his diffs.
const CONFIGURATIONS: [(&str, &[&str]); 5] = [
    ("as usual", &[]),
    ("without prefixes", &["-c", "diff.noprefix=true"]),
    ("with other prefixes", &["-c", "diff.mnemonicPrefix=true"]),
    ("with prefixes of his own", &["-c", "diff.srcPrefix=old/", "-c", "diff.dstPrefix=new/"]),
    ("in colour", &["-c", "color.ui=always"]),
];

const TREE: &str = "import subprocess
def git(*arguments):
    return subprocess.run(['git', '-c', 'core.quotePath=false', *arguments], capture_output=True, text=True).stdout
for folder in '.', 'libs/inner':
    git('-C', folder, 'add', '--all', '--intent-to-add')
    for line in git('-C', folder, 'diff', '--summary', '--numstat', '-M', 'HEAD').splitlines():
        if 'libs/inner' not in line:
            print('OUT', folder, ' '.join(line.split()))
";

/// The same changes, recorded by users whose git is configured in different ways.
fn configured_rows(place: &Place) -> Vec<Row> {
    let inner = Changed::new(place, "configured inner", &[("old.py", &COUNT.replace('=', "+"))]);
    let code = Changed::new(
        place,
        "configured",
        &[
            ("src/count.py", COUNT),
            ("src/only.py", &replaced("two = 2", "-- src/count.py")),
            ("src/mode.py", RUN),
            ("src/gone.py", "gone\n"),
            ("src/name.py", &COUNT.replace('=', "-")),
            ("src/data.bin", "\0\x01"),
            ("tree.py", TREE),
        ],
    );
    let allowed = ["-c", "protocol.file.allow=always"];
    let url = inner.folder.to_str().unwrap();
    git(&code.folder, &[&allowed[..], &["submodule", "--quiet", "add", url, "libs/inner"]].concat());
    git(&code.folder, &["commit", "--quiet", "--message", "submodule"]);
    let sub = code.folder.join("libs/inner");
    let change = || {
        let four = replaced("four = 4", "four = 40");
        let text =
            [("src/count.py", four.as_str()), ("src/new.py", RUN), ("src/two words.py", RUN), ("src/grün.py", RUN)];
        for (name, text) in text {
            code.write(name, text);
        }
        code.write("src/only.py", replaced("two = 2", "++ src/count.py")).write("src/data.bin", [0, 2, 3]);
        code.write("libs/inner/count.py", &four);
        fs::remove_file(code.folder.join("src/gone.py")).unwrap();
        git(&code.folder, &["mv", "src/name.py", "src/named.py"]);
        fs::set_permissions(code.folder.join("src/mode.py"), fs::Permissions::from_mode(0o755)).unwrap();
        git(&sub, &["mv", "old.py", "renamed.py"]);
        git(&code.folder, &["add", "--all", "--intent-to-add"]);
    };
    let lines = [
        ". 1 1 src/count.py",
        ". - - src/data.bin",
        ". 0 1 src/gone.py",
        ". 2 0 src/grün.py",
        ". 0 0 src/mode.py",
        ". 0 0 src/{name.py => named.py}",
        ". 2 0 src/new.py",
        ". 1 1 src/only.py",
        ". 2 0 src/two words.py",
        ". delete mode 100644 src/gone.py",
        ". create mode 100644 src/grün.py",
        ". mode change 100644 => 100755 src/mode.py",
        ". rename src/{name.py => named.py} (100%)",
        ". create mode 100644 src/new.py",
        ". create mode 100644 src/two words.py",
        "libs/inner 1 1 count.py",
        "libs/inner 0 0 old.py => renamed.py",
        "libs/inner rename old.py => renamed.py (100%)",
    ];
    let commit = code.head();
    let mut rows = Vec::new();
    for (name, options) in CONFIGURATIONS {
        change();
        let diff = git(&code.folder, &[options, &["diff", "--binary", "--submodule=diff", "HEAD"]].concat());
        git(&sub, &["reset", "--quiet", "--hard"]);
        git(&code.folder, &["reset", "--quiet", "--hard"]);
        code.write("count.py", replaced("one = 1", "one = 10"));
        let root = git(&code.folder, &[options, &["diff", "HEAD"]].concat());
        git(&code.folder, &["reset", "--quiet", "--hard"]);
        let draft = |entry: &str, diff: &str| code.draft(entry, diff).with("version_num", commit.as_str());
        rows.push(Row::completes(&format!("a diff {name}"), draft("tree.py", &diff), &lines));
        rows.push(Row::completes(
            &format!("a diff of the root {name}"),
            draft("run.py", &root),
            &["[10, 2, 3, 4, 5, 6, 7]"],
        ));
    }
    rows
}

#[test]
fn uncommitted_changes_are_applied() {
    let place = Place::new();
    let rows =
        [plain_rows(&place), binary_rows(&place), merged_rows(&place), submodule_rows(&place), configured_rows(&place)]
            .concat();
    let table = Table::start(place, &[NO_PACKAGES]);
    table.run(&rows);
    table.finish();
}
