//! Programs that are texts of the task: scripts, notebooks, shell texts.

use crate::harness::{Draft, Place, new_repository};

use super::row::{NO_PACKAGES, Row, Table};

const SHOW: &str = "import sys\nprint('OUT', __file__.rsplit('/', 1)[-1], sys.argv[1:])\n";

const NOTEBOOK: &str = r##"{"cells": [
    {"cell_type": "code", "source": ["%matplotlib inline\n", "import sys\n", "print('OUT', sys.argv[1:], flush=True)"]},
    {"cell_type": "markdown", "source": "# words"},
    {"cell_type": "code", "source": "!echo OUT shell"},
    {"cell_type": "code", "source": ["from beside import NAME\n", "display('OUT ' + NAME)"]}
], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}"##;

fn literal_rows() -> Vec<Row> {
    let script = |name: &str, text: &str, entry: &str| Draft::script(name, text).with("entry_point", entry);
    let row = |name: &str, entry: &str, line: &str| Row::completes(name, script(name, SHOW, entry), &[line]);
    vec![
        row("a literal script", "train.py --lr 0.1", "train.py ['--lr', '0.1']"),
        row("a literal script without a name", "", "untitled.py []"),
        row("a literal script with a space", "'my train.py' a", "my train.py ['a']"),
        row("a literal script without an ending", "train", "train []"),
        row("defect 14: a literal script in a folder", "sub/train.py a", "train.py ['a']"),
        row("a literal script with a URL", "train.py https://x//y", "train.py ['https://x//y']"),
        Row::completes(
            "a literal script with __future__",
            script("future", "from __future__ import annotations\nprint('OUT', 'future')\n", "a.py"),
            &["future"],
        ),
        Row::completes(
            "a literal script that looks like half a diff",
            script("half", "Submodule = 1\nprint('OUT', Submodule)\n", "a.py"),
            &["1"],
        ),
        Row::completes(
            "a working directory without a repository",
            script("wd", SHOW, "a.py").with("working_dir", "nowhere"),
            &["a.py []"],
        )
        .says("working_dir"),
        Row::completes(
            "a literal shell script",
            script("shell", "echo \"OUT $1\"\n", "run.sh 'a b'").with("binary", "bash"),
            &["a b"],
        ),
        Row::completes(
            "defect 07: a shell text of many lines",
            script(
                "lines",
                "if true\nthen\n  cat <<END\nOUT in a document\nEND\nfi # a comment\nfor x in 1 2; do\n  echo OUT $x\ndone\n",
                "run.sh",
            )
            .with("binary", "bash"),
            &["in a document", "1", "2"],
        ),
        Row::completes("no code at all", Draft::script("module", "").with("entry_point", "-m this"), &[])
            .says("Beautiful is better than ugly"),
        Row::completes(
            "a program that is no Python and no shell",
            script("node", "print('OUT', 'python')\n", "a.py").with("binary", "node"),
            &["python"],
        ),
        Row::completes(
            "text of all kinds",
            script("unicode", "print('OUT', 'Grüße 日本')\n", "a.py"),
            &["Grüße 日本"],
        ),
        Row::completes(
            "line ends of another system",
            script("crlf", "print('OUT', 1)\r\nprint('OUT', 2)\r\n", "a.py"),
            &["1", "2"],
        ),
    ]
}

fn repository_rows(url: &str) -> Vec<Row> {
    let draft = |name: &str, entry: &str, text: &str| Draft::repository(name, url, entry).with("diff", text);
    vec![
        Row::completes(
            "a notebook exported as a script",
            draft("notebook", "notebook.py", "import beside\nprint('OUT', beside.NAME)\n"),
            &["beside"],
        ),
        Row::completes(
            "defect 14: what the task carries is what runs",
            draft("existing", "train.py", "print('OUT', 'carried')\n"),
            &["carried"],
        ),
        Row::completes(
            "an exported notebook in a folder",
            draft("folder", "n.py", "import inner\nprint('OUT', inner.NAME)\n").with("working_dir", "sub"),
            &["inner"],
        ),
        Row::completes(
            "a notebook in a repository",
            Draft::repository("notebook", url, "book.ipynb --lr 0.1"),
            &["['--lr', '0.1']", "shell", "beside"],
        )
        .says("left out: %matplotlib"),
        Row::fails("a notebook that is none", Draft::repository("none", url, "none.ipynb"), "code", &["none.ipynb"]),
        Row::fails(
            "an exported notebook in a folder that is not there",
            draft("nowhere", "n.py", "print(1)\n").with("working_dir", "nowhere"),
            "code",
            &["nowhere"],
        ),
    ]
}

#[test]
fn programs_that_are_texts_of_the_task() {
    let place = Place::new();
    let repository = place.path("repository");
    let files = [
        ("train.py", "print('OUT', 'of the repository')\n"),
        ("beside.py", "NAME = 'beside'\n"),
        ("sub/inner.py", "NAME = 'inner'\n"),
        ("book.ipynb", NOTEBOOK),
        ("none.ipynb", "print(1)\n"),
    ];
    new_repository(&repository, &files);
    let url = repository.to_str().unwrap().to_owned();
    let table = Table::start(place, &[NO_PACKAGES]);
    table.run(&[literal_rows(), repository_rows(&url)].concat());
    table.finish();
}
