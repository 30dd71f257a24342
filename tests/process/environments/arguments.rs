//! Entry points: what starts, where, with which arguments and which search paths.

use crate::harness::{Draft, Place, new_repository};

use super::row::{NO_PACKAGES, Row, Table};

const SHOW: &str = "import sys\nprint('OUT', sys.argv[1:])\n";

const PATHS: &str = "import os, sys
entries = os.environ['PYTHONPATH'].split(os.pathsep)
root = os.getcwd()
print('OUT', [os.path.relpath(entry, root) for entry in entries])
print('OUT', any(not entry or 'lib/python' in entry for entry in entries))
";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("show.py", SHOW),
        ("two words.py", SHOW),
        ("sub/show.py", "import sys\nimport beside\nprint('OUT', beside.NAME, sys.argv[1:])\n"),
        ("sub/beside.py", "NAME = 'beside'\n"),
        ("sub/paths.py", PATHS),
        ("paths.py", PATHS),
        ("pkg/__init__.py", ""),
        ("pkg/run.py", SHOW),
        ("pkg/__main__.py", SHOW),
        ("dir with space/here.py", "import os\nprint('OUT', os.path.basename(os.getcwd()))\n"),
        ("run.sh", "echo \"OUT $0 [$1] [$2]\"\n"),
        ("import_root.py", "NAME = 'root'\n"),
        ("sub/uses_root.py", "import import_root\nprint('OUT', import_root.NAME)\n"),
        (
            "environment.py",
            "import os\nprint('OUT', os.environ['CLEARML_TASK_ID'] == os.environ['TRAINS_TASK_ID'], 'HOSTLER_STATE_DIR' in os.environ)\n",
        ),
    ]
}

/// Arguments reach the program as they were given.
fn argument_rows(url: &str) -> Vec<Row> {
    let row = |name: &str, entry: &str, line: &str| Row::completes(name, Draft::repository(name, url, entry), &[line]);
    vec![
        row("no arguments", "show.py", "[]"),
        row("quotes", r#"show.py --name 'a b' "c d" e"f g"h"#, "['--name', 'a b', 'c d', 'ef gh']"),
        row("an empty argument", "show.py '' x", "['', 'x']"),
        row("defect 03: a URL", "show.py --url https://host//a/../b", "['--url', 'https://host//a/../b']"),
        row("defect 03: a variable", "show.py $HOME ${HOME} ~", "['$HOME', '${HOME}', '~']"),
        row("defect 03: an address", "show.py --addr host:29500", "['--addr', 'host:29500']"),
        row("defect 03: a module's URL", "-m pkg.run --url https://x//y", "['--url', 'https://x//y']"),
        row("a pattern and a comment", "show.py *.py #1 a;b", "['*.py', '#1', 'a;b']"),
        row("JSON", r#"show.py --json '{"a": [1, "x y"]}'"#, r#"['--json', '{"a": [1, "x y"]}']"#),
        row("letters of all kinds", "show.py Grüße 日本 'é è'", "['Grüße', '日本', 'é è']"),
        row("backslashes", r#"show.py a\ b 'c\d'"#, r#"['a b', 'c\\d']"#),
        row("an equals sign", "show.py --a=b=c --d='e f'", "['--a=b=c', '--d=e f']"),
        row("dots and slashes", "show.py ./a/./b //c", "['./a/./b', '//c']"),
        row("a file with a space", "two words.py", "[]"),
        row("a quoted file with a space", "'two words.py' x", "['x']"),
        row("a folder of a package", "pkg a", "['a']"),
        row("a module", "-m pkg.run a 'b c'", "['a', 'b c']"),
        row("a package as a module", "-m pkg a", "['a']"),
        row("a line of Python", "-c \"print('OUT', 6 * 7)\"", "42"),
        row("options of Python", "-W ignore show.py a", "['a']"),
        row("a dot before the script", "./show.py a", "['a']"),
        row("a script in a folder", "sub/show.py a", "beside ['a']"),
    ]
}

fn place_rows(url: &str) -> Vec<Row> {
    let draft = |name: &str, entry: &str| Draft::repository(name, url, entry);
    vec![
        Row::completes("a working directory", draft("wd", "show.py a").with("working_dir", "sub"), &["beside ['a']"]),
        Row::completes(
            "a working directory with a space",
            draft("space", "here.py").with("working_dir", "dir with space"),
            &["dir with space"],
        ),
        Row::completes(
            "a working directory with dots",
            draft("dots", "show.py").with("working_dir", "./pkg/../sub/"),
            &["beside []"],
        ),
        Row::completes("no working directory", draft("empty", "show.py").with("working_dir", ""), &["[]"]),
        Row::completes(
            "defect 03: an address and no working directory",
            draft("colon", "-m pkg.run --addr h:29500").with("working_dir", ""),
            &["['--addr', 'h:29500']"],
        ),
        Row::fails(
            "a working directory that is not there",
            draft("gone", "show.py").with("working_dir", "gone"),
            "code",
            &["working_dir", "gone"],
        ),
        Row::fails(
            "a working directory outside",
            draft("outside", "show.py").with("working_dir", "../.."),
            "code",
            &["../.."],
        ),
        Row::fails("a script that is not there", draft("missing", "missing.py a"), "code", &["missing.py"]),
        Row::fails("a quote that is not closed", draft("quote", "show.py 'a"), "code", &["quote"]),
        Row::completes("defect 08: search paths", draft("paths", "paths.py"), &["['.']", "False"]),
        Row::completes(
            "defect 08: search paths of a folder",
            draft("paths", "sub/paths.py"),
            &["['.', 'sub']", "False"],
        ),
        Row::completes("a module beside the root", draft("root", "sub/uses_root.py"), &["root"]),
        Row::completes("the task's variables", draft("variables", "environment.py"), &["True False"]),
        Row::completes(
            "a shell script",
            draft("shell", "run.sh 'a b' '$c'").with("binary", "/bin/bash"),
            &["run.sh [a b] [$c]"],
        ),
        Row::completes(
            "a shell that is not here",
            draft("zsh", "run.sh a").with("binary", "/opt/none/zsh"),
            &["run.sh [a] []"],
        ),
        Row::completes(
            "a shell's own text without quotes around",
            draft("text", "-c for x in 1 2; do echo \"OUT $x\"; done").with("binary", "bash"),
            &["1", "2"],
        ),
        Row::completes(
            "a shell's own text",
            draft("text", "-c 'for x in 1 2; do echo \"OUT $x\"; done'").with("binary", "bash"),
            &["1", "2"],
        ),
    ]
}

#[test]
fn what_is_started_and_with_what() {
    let place = Place::new();
    let repository = place.path("repository");
    new_repository(&repository, &files());
    let url = repository.to_str().unwrap().to_owned();
    let table = Table::start(place, &[NO_PACKAGES]);
    table.run(&[argument_rows(&url), place_rows(&url)].concat());
    table.finish();
}
