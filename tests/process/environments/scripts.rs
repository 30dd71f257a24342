//! Programs that are texts of the task: scripts, notebooks, shell texts.

use serde_json::{Value, json};

use crate::harness::{Draft, Place, git_commit_all, new_repository};

use super::row::{NO_PACKAGES, Row, Table};

const SHOW: &str = "import sys\nprint('OUT', __file__.rsplit('/', 1)[-1], sys.argv[1:])\n";

const NOTEBOOK: &str = r##"{"cells": [
    {"cell_type": "code", "source": ["%matplotlib inline\n", "import sys\n", "print('OUT', sys.argv[1:], flush=True)"]},
    {"cell_type": "markdown", "source": "# words"},
    {"cell_type": "code", "source": "!echo OUT shell"},
    {"cell_type": "code", "source": ["from beside import NAME\n", "display('OUT ' + NAME)"]}
], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}"##;

/// A notebook of cells of code.
fn notebook(cells: &[&str]) -> String {
    let cells: Vec<Value> = cells.iter().map(|cell| json!({ "cell_type": "code", "source": cell })).collect();
    json!({ "cells": cells, "metadata": { "language_info": { "name": "python" } }, "nbformat": 4 }).to_string()
}

/// What only IPython understands.
fn foreign_notebook() -> String {
    notebook(&[
        "word = 'value'\nlines = !printf 'one\\ntwo {word}\\n'\nprint('OUT', lines)",
        "!echo OUT {word} $word ${HOME:+home} \"$NOBODY\" '$word {a,b}'\n!echo OUT \\\n  continued",
        "text = '''\n!echo OUT never\n%never\n'''\nprint('OUT', len(text.splitlines()))\nprint('OUT', (7\n  %len(text)))",
        "%timeit -n1 -r 1 word.upper()\n?word\nword??\nif True:\n    %nothing",
        "import asyncio\nasync def later():\n    await asyncio.sleep(0)\n    return word\ntask = asyncio.ensure_future(later())\nawait asyncio.sleep(0)",
        "for once in [1]:\n    print('OUT', await task)\n    !echo OUT {once} {word[0]}",
    ])
}

fn notebook_rows(url: &str) -> Vec<Row> {
    let draft = |name: &str| Draft::repository("notebook", url, name);
    vec![
        Row::completes(
            "what only IPython understands",
            draft("foreign.ipynb"),
            &["['one', 'two value']", "value value home  $word {a,b}", "continued", "3", "7", "value", "1 v"],
        )
        .says("left out: %nothing, ?"),
        Row::completes("a notebook with the name of a module", draft("colorsys.ipynb"), &["colorsys.py 1"]),
        Row::completes("a notebook beside another pip", draft("pip.ipynb"), &["done"]).never_says("another pip"),
    ]
}

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
    let files = [
        ("foreign.ipynb", foreign_notebook()),
        ("colorsys.ipynb", notebook(&["import colorsys, os\nprint('OUT', os.path.basename(colorsys.__file__), 1)"])),
        ("pip.ipynb", notebook(&["%pip --version\nprint('OUT', 'done')"])),
        ("pip.py", "print('OUT', 'another pip')\n".to_owned()),
    ];
    git_commit_all(&repository, &files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let url = repository.to_str().unwrap().to_owned();
    let table = Table::start(place, &[NO_PACKAGES]);
    table.run(&[literal_rows(), repository_rows(&url), notebook_rows(&url)].concat());
    table.finish();
}
