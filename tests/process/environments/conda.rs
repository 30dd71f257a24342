//! conda itself, where one is given: `HOSTLER_TEST_CONDAS` names programs called conda, mamba or micromamba, with `:`
//! between them. Their channel is a folder that the test fills; nothing else is asked.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Draft, Place, ProcessExt, base_python, new_repository, sdk_python};

use super::row::{Row, Table};

const LIMIT: Duration = Duration::from_secs(180);

/// What a task has, and by whom; the environment knows where it is.
const REPORT: &str = "import os, subprocess, sys, importlib.metadata as metadata\n\
    def version(name):\n    try:\n        return metadata.version(name)\n    \
    except metadata.PackageNotFoundError:\n        return None\n\
    environment = os.environ['CONDA_PREFIX']\n\
    assert sys.base_prefix == environment, (sys.base_prefix, environment)\n\
    assert subprocess.check_output(['where-it-is'], text=True).strip() == environment\n\
    print('OUT', *('%s=%s' % (name, version(name)) for name in ('six', 'idna')))\n";

/// Installs for itself, which reaches nobody else.
const INSTALLS: &str = "subprocess.check_call([sys.executable, '-m', 'pip', 'install', '--quiet', 'idna==3.4'])\n\
    get = [sys.executable, '-c', 'import idna; print(idna.__version__)']\n\
    print('OUT', subprocess.check_output(get, text=True).strip())\n";

/// conda refuses to change what tasks share, though it is root who asks. mamba does not know the mark for it.
const CHANGES: &str = "tool = [os.environ['TOOL'], 'install', '--yes', '--prefix', environment, '--override-channels',\n    \
    '--channel', os.environ['CHANNEL'], 'idna']\n\
    refused = subprocess.run(tool, capture_output=True, text=True)\n\
    print(refused.returncode, refused.stdout, refused.stderr)\n\
    print('OUT refused', refused.returncode != 0)\n";

/// Says so where there is none.
fn condas() -> Vec<PathBuf> {
    let given = std::env::var_os("HOSTLER_TEST_CONDAS").unwrap_or_default();
    let found: Vec<PathBuf> = std::env::split_paths(&given).filter(|path| path.is_file()).collect();
    if found.is_empty() {
        eprintln!("skipped: no conda: HOSTLER_TEST_CONDAS=/path/to/conda:/path/to/micromamba names some");
    }
    found
}

fn channel(place: &Place) -> String {
    let folder = place.path("channel");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/environments/conda_channel.py");
    let mut make = Command::new(sdk_python());
    make.arg(program).arg(&folder).args(["six==1.16.0", "idna==3.7", "pip==24.0"]);
    make.finish_within(LIMIT).ok();
    format!("file://{}", folder.display())
}

/// A channel that only who knows a token finds.
struct Private {
    server: Child,
    url: String,
}

impl Private {
    fn serve(place: &Place) -> Self {
        let folder = place.path("served");
        std::fs::create_dir_all(folder.join("t/xy-hunter2")).unwrap();
        symlink(place.path("channel"), folder.join("t/xy-hunter2/own")).unwrap();
        let mut serve = Command::new(sdk_python());
        serve.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        let mut server = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // `Serving HTTP on 127.0.0.1 port 8000 (http://127.0.0.1:8000/) ...`
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.split(['(', ')']).nth(1).unwrap();
        Self { url: format!("{address}t/xy-hunter2/own"), server }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Files below a folder that have the token in them.
fn leaks(folder: &Path) -> Vec<PathBuf> {
    let output = Command::new("grep").args(["-r", "-l", "-a", "hunter2"]).arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// The programs that tasks find: this conda, and no other one of the machine.
fn path_with(place: &Place, program: &Path, name: &str) -> String {
    symlink(program, place.path("bin").join(name)).unwrap();
    let python = Path::new(base_python()).parent().unwrap();
    format!("{}:{}:/usr/bin:/bin", place.path("bin").display(), python.display())
}

fn table(place: Place, path: &str, tool: &Path, channel: &str) -> Table {
    let channels = format!("[\"{channel}\"]");
    let environment = [
        ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__TYPE", "conda"),
        ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__CONDA_CHANNELS", &channels),
        ("PATH", path),
        ("TOOL", tool.to_str().unwrap()),
        ("CHANNEL", channel),
        // A file adds to the usual ones, which cannot be reached everywhere.
        ("CONDA_CHANNELS", channel),
    ];
    Table::start(place, &environment)
}

fn row(title: &str, program: &str, conda: &str, pip: &str, lines: &[&str]) -> Row {
    let requirements = json!({ "conda": conda, "pip": pip });
    Row::completes(title, Draft::script("conda", program), lines).with_requirements(requirements)
}

fn env_command(table: &Table, arguments: &[&str]) -> Value {
    let answer = table.place().hostler().args(["--json", "env"]).args(arguments).finish_within(LIMIT).ok();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn environments_of_a_real_conda() {
    let condas = condas();
    if condas.is_empty() {
        return;
    }
    let shelf = Place::new();
    let channel = channel(&shelf);
    let private = Private::serve(&shelf);
    for program in condas {
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        let place = Place::new();
        let (tool, path) = (place.path("bin").join(&name), path_with(&place, &program, &name));
        let url = place.path("repository");
        let file = format!("channels: [\"{channel}\"]\ndependencies: [python, six=1.16]\n");
        new_repository(&url, &[("run.py", REPORT), ("environment.yml", &file)]);
        let table = table(place, &path, &tool, &channel);
        let (refuses, lines) = match name.as_str() {
            "conda" => (CHANGES, ["six=1.16.0 idna=None", "3.4", "refused True"].as_slice()),
            _ => ("", ["six=1.16.0 idna=None", "3.4"].as_slice()),
        };
        let installs = format!("{REPORT}{INSTALLS}{refuses}");
        let (six, made) = ("six==1.16.0", format!("making an environment with {name}"));
        let only_six = ["six=1.16.0 idna=None"];
        table.run(&[row("packages", REPORT, six, "", &only_six).says(&made)]);
        let of_file = Draft::repository("file", url.to_str().unwrap(), "run.py");
        let fails = |title: &str, conda: &str, package: &str| {
            let draft = Draft::script("conda", REPORT);
            Row::fails(title, draft, "environment", &[&name, package]).with_requirements(json!({ "conda": conda }))
        };
        table.run(&[
            row("the same", REPORT, six, "", &only_six).never_says(&made),
            row("pip's part", REPORT, six, "idna==3.6", &["six=1.16.0 idna=3.6"]).says(&made),
            row("what runs may install", &installs, "six==1.16.0\npip", "", lines),
            Row::completes("a file", of_file, &only_six),
            fails("no such package", "nothing==1.0", "nothing"),
            fails("no such version", "six==9.0", "six"),
        ]);
        if name == "conda" {
            // mamba 2.8.1 finds no package that is named with such a channel.
            let named = format!("python\n{}::six==1.16.0", private.url);
            table.run(&[
                row("a package of a channel with a token", REPORT, &named, "", &only_six).never_says("hunter2")
            ]);
        }
        assert_eq!(env_command(&table, &["verify"])["damages"], json!([]));
        let listed = env_command(&table, &["list"]);
        let counts = listed.as_array().unwrap().iter().map(|entry| entry["packages"].as_u64().unwrap());
        assert!(counts.clone().all(|count| count > 1) && counts.count() > 2, "{listed:#}");
        table.finish();
    }
}

#[test]
fn a_real_conda_leaves_no_token_of_a_channel() {
    let condas = condas();
    if condas.is_empty() {
        return;
    }
    let shelf = Place::new();
    channel(&shelf);
    let private = Private::serve(&shelf);
    for program in condas {
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        let place = Place::new();
        let (tool, path) = (place.path("bin").join(&name), path_with(&place, &program, &name));
        let table = table(place, &path, &tool, &private.url);
        table.run(&[row("a channel with a token", REPORT, "six==1.16.0", "", &["six=1.16.0 idna=None"])
            .says(&format!("making an environment with {name}"))
            .never_says("hunter2")]);
        // What these programs keep with their downloads is their own.
        for folder in ["state", "home/.cache/hostler", "logs"] {
            assert_eq!(leaks(&table.place().path(folder)), Vec::<PathBuf>::new(), "{name}: {folder}");
        }
        table.finish();
    }
}
