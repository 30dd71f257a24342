//! Environments of conda in containers. No package registry has a conda for these tests: a program of the image stands
//! in its place, which makes environments like conda's of the image's interpreter.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Engine, Farm, unique};
use crate::harness::{Draft, Gate, ProcessExt as _, audit, eventually};

const STAND_IN: &str = include_str!("stand_in_conda.py");
pub(crate) const TYPE: (&str, &str) = ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__TYPE", "conda");
pub(crate) const CHANNELS: (&str, &str) =
    ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__CONDA_CHANNELS", "[\"own-channel\"]");

/// What a task sees of its environment, and whether it can change what others use.
const PROGRAM: &str = "import os, sys, thing\n\
    conda = os.environ['CONDA_PREFIX']\n\
    try:\n    open(os.path.join(conda, 'mine'), 'w')\nexcept OSError as error:\n    print('CLOSED', error.strerror)\n\
    print('GOT', thing.VERSION, 'below', sys.base_prefix == conda, os.environ['VIRTUAL_ENV'] == sys.prefix)\n\
    print('CONDA', conda)\n";

/// `hostler-test/python` with a program that stands in for conda. It is removed in the end.
pub(crate) struct CondaImage {
    engine: Engine,
    pub(crate) name: String,
}

impl CondaImage {
    /// One with the program at this path.
    pub(crate) fn with(engine: &Engine, program: &str) -> Self {
        let this = Self { engine: engine.clone(), name: format!("hostler-test/{}", unique("conda")) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(program.trim_start_matches('/'));
        stand_in(&path);
        let container = engine.say(&["create", "hostler-test/python", "/bin/true"]);
        let files = format!("{}/.", folder.path().display());
        engine.say(&["cp", &files, &format!("{container}:/")]);
        this.commit(&container);
        engine.say(&["rm", &container]);
        this
    }

    /// Not by the client, whose request Podman does not understand. No two of them are the same.
    fn commit(&self, container: &str) {
        let url = format!(
            "http://engine/commit?container={container}&repo={0}&tag=latest&changes=LABEL%20of-test%3D{0}",
            self.name
        );
        let socket = self.engine.address.trim_start_matches("unix://");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--unix-socket", socket, "--json", "{}", &url]);
        curl.finish_within(std::time::Duration::from_secs(60)).ok();
    }

    pub(super) fn container(&self) -> Value {
        json!({ "image": self.name })
    }
}

impl Drop for CondaImage {
    fn drop(&mut self) {
        self.engine.call(&["image", "rm", "--force", &self.name]);
    }
}

/// Makes the program that stands in for conda.
pub(super) fn stand_in(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_program(path, STAND_IN.as_bytes());
}

fn write_program(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A task with packages of conda, and of pip where there are any.
pub(crate) fn draft(program: &str, conda: &str, pip: &str) -> Draft {
    let requirements = match pip {
        "" => json!({ "conda": conda }),
        pip => json!({ "conda": conda, "pip": pip }),
    };
    Draft::script("conda", program).with("requirements", requirements)
}

fn farm(engine: &Engine, arguments: &[&str]) -> Farm {
    Farm::start_with(engine, arguments, &[TYPE, CHANNELS])
}

/// Runs a task that must end well; its console.
fn run(farm: &Farm, draft: &Draft, container: Value) -> String {
    let task = farm.enqueue(draft, container);
    farm.api.ended_as(&task, "completed");
    farm.api.console(&task)
}

/// A command of a person, about the environments.
fn env(farm: &Farm, arguments: &[&str]) -> String {
    let mut command = farm.place.hostler();
    command.arg("env").args(arguments);
    command.finish_within(std::time::Duration::from_secs(60)).ok()
}

fn value_of<'a>(console: &'a str, name: &str) -> &'a str {
    console.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {console}")).trim()
}

#[test]
fn the_conda_of_an_image_makes_its_environments() {
    for engine in Engine::all() {
        let farm = farm(&engine, &["--workers", "1"]);
        let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
        let task = draft(&format!("import six\nprint('SIX', six.__version__)\n{PROGRAM}"), "thing==2.0", "six==1.16.0");
        let first = run(&farm, &task, image.container());
        for words in [
            "making an environment with conda (/opt/conda/bin/conda of the image)",
            "downloading thing",
            "linked thing",
            "SIX 1.16.0",
            "GOT 2.0 below True True",
            "CLOSED Read-only file system",
        ] {
            assert!(first.contains(words), "{words}: {first}");
        }
        assert!(
            Path::new(value_of(&first, "CONDA "))
                .starts_with(farm.place.path("home/.cache/hostler/environments/built"))
        );

        // The second one finds it, without a container in which anything is built.
        let id = farm.enqueue(&task, image.container());
        farm.api.ended_as(&id, "completed");
        let second = farm.api.console(&id);
        assert!(second.contains(", reused") && !second.contains("making an environment"), "{second}");
        assert_eq!(value_of(&second, "CONDA "), value_of(&first, "CONDA "));
        let why = env(&farm, &["why", &id]);
        assert!(why.contains("hit"), "{why}");

        // Another image has one of its own, and what was downloaded.
        let other = CondaImage::with(&engine, "/root/miniforge3/bin/mamba");
        let third = run(&farm, &task, other.container());
        assert!(
            third.contains("making an environment with mamba (/root/miniforge3/bin/mamba of the image)"),
            "{third}"
        );
        assert!(third.contains("linked thing") && !third.contains("downloading thing"), "{third}");
        assert_ne!(value_of(&third, "CONDA "), value_of(&first, "CONDA "));
        assert_eq!(env(&farm, &["verify"]).trim(), "2 environments, 0 damages");
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn what_a_task_installs_while_it_runs_is_its_own() {
    let Some(engine) = Engine::docker() else { return };
    let farm = farm(&engine, &["--workers", "1"]);
    let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
    let program = "import os, subprocess, sys, thing, zipfile\n\
        try:\n    import own\n    print('LEAKED')\nexcept ImportError:\n    pass\n\
        texts = {\n\
        \x20   'own.py': 'VERSION = 8',\n\
        \x20   'own-8.dist-info/METADATA': 'Metadata-Version: 2.1\\nName: own\\nVersion: 8\\n',\n\
        \x20   'own-8.dist-info/WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',\n\
        }\n\
        texts['own-8.dist-info/RECORD'] = ''.join(name + ',,\\n' for name in texts)\n\
        with zipfile.ZipFile('own-8-py3-none-any.whl', 'w') as wheel:\n\
        \x20   for name, text in texts.items():\n\
        \x20       wheel.writestr(name, text)\n\
        install = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-index', wheel.filename]\n\
        subprocess.run(install, check=True)\n\
        import own\nprint('GOT', own.VERSION, own.__file__.startswith(sys.prefix), os.getuid())\n";
    let task = draft(program, "thing=1.0\npip", "");
    for user in [0, 1234] {
        let container = json!({ "image": image.name, "arguments": format!("--user {user} -e HOME=/tmp") });
        let console = run(&farm, &task, container);
        assert!(console.contains(&format!("GOT 8 True {user}")) && !console.contains("LEAKED"), "{console}");
    }
    farm.is_clean();
}

#[test]
fn a_file_of_the_repository_says_what_is_wanted() {
    let Some(engine) = Engine::docker() else { return };
    let farm = farm(&engine, &["--workers", "1"]);
    let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
    let repository = farm.place.path("repository");
    let file = "dependencies:\n- python=3.11\n- thing=7.0\n";
    crate::harness::new_repository(&repository, &[("run.py", PROGRAM), ("environment.yml", file)]);
    let task = Draft::repository("file", repository.to_str().unwrap(), "run.py");
    let console = run(&farm, &task, image.container());
    assert!(console.contains("GOT 7.0 below True True"), "{console}");
}

#[test]
fn what_conda_cannot_do_is_said_in_one_line() {
    for engine in Engine::all() {
        let farm = farm(&engine, &["--workers", "1"]);
        let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
        let fails = |draft: &Draft, container: Value, words: &str| {
            let reason = farm.failure(&farm.enqueue(draft, container));
            assert!(reason.starts_with("environment failure") && reason.contains(words), "{words}: {reason}");
        };
        fails(
            &draft(PROGRAM, "nothing==1", ""),
            image.container(),
            "conda cannot make the environment: PackagesNotFoundError: The following packages are not available from \
             current channels: - nothing=1",
        );
        fails(&draft(PROGRAM, "thing", "six==99.99"), image.container(), "six==99.99");
        fails(
            &draft(PROGRAM, "thing", ""),
            json!({ "image": "hostler-test/python" }),
            "none of micromamba, mamba and conda is in the image hostler-test/python, nor a micromamba on the PATH of \
             this machine, which could be lent: use an image that has one",
        );
        let built = farm.place.path("home/.cache/hostler/environments/built");
        assert_eq!(std::fs::read_dir(built).map_or(0, Iterator::count), 0, "nothing half made is kept");
        // The worker goes on.
        assert!(run(&farm, &draft(PROGRAM, "thing", ""), image.container()).contains("GOT 1.0"));
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn what_is_broken_off_is_used_by_nobody() {
    for engine in Engine::all() {
        let mut farm = farm(&engine, &["--workers", "1"]);
        let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
        let folder = farm.place.path("");
        let container = json!({
            "image": image.name,
            "arguments": format!("-v {0}:{0} -e STAND_IN_FOLDER={0}", folder.display()),
        });
        let mut gate = Gate::shut(&farm.place.path("gate"));
        let task = draft(PROGRAM, "thing=3.0\nslow=1.0", "");
        let caches = farm.place.path("home/.cache/hostler");
        let ready = || {
            let built = std::fs::read_dir(caches.join("environments/built")).into_iter().flatten().flatten();
            built.filter(|entry| entry.path().join("ready.json").exists()).count()
        };
        let builds = |farm: &Farm| farm.place.lines("building").len();

        // Aborted in the middle.
        let first = farm.enqueue(&task, container.clone());
        eventually("it is built", || builds(&farm) == 1);
        farm.api.call("tasks.stop", json!({ "task": first }));
        farm.api.ended_as(&first, "stopped");
        eventually("no container is left", || engine.containers(&farm.place).is_empty());
        assert_eq!(ready(), 0);

        // Everything of ours is killed in the middle.
        let second = farm.enqueue(&task, container.clone());
        eventually("it is built again", || builds(&farm) == 2);
        farm.daemon.kill_executors();
        farm.daemon.kill();
        assert_eq!(ready(), 0);
        farm.again_with(&["--workers", "1"], &[TYPE, CHANNELS]);
        gate.open();
        farm.api.ended(&second);

        // Who asks next gets a whole one, and no package that was half unpacked.
        let console = run(&farm, &task, container);
        assert!(console.contains("GOT 3.0"), "{console}");
        assert_eq!(ready(), 1);
        assert_eq!(env(&farm, &["verify"]).trim(), "1 environments, 0 damages");
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn a_container_that_idles_sees_environments_of_conda() {
    let Some(engine) = Engine::docker() else { return };
    let mut farm = farm(&engine, &["--workers", "1", "--warm-containers", "1"]);
    let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
    let mut consoles = Vec::new();
    for version in ["1.0", "2.0"] {
        consoles.push(run(&farm, &draft(PROGRAM, &format!("thing={version}"), ""), image.container()));
        eventually("a container that idles", || {
            std::fs::read_dir(farm.place.path("state/warm/idle")).is_ok_and(|entries| entries.count() == 1)
        });
    }
    assert!(consoles[1].contains("a container that was started before is used"), "{}", consoles[1]);
    assert!(consoles[1].contains("GOT 2.0") && consoles[1].contains("CLOSED Read-only file system"), "{}", consoles[1]);
    farm.daemon.terminate();
    farm.is_clean();
}

/// The turn of a task that waits: what conda makes of it is there when it comes.
#[test]
fn it_is_made_while_the_task_waits() {
    let Some(engine) = Engine::docker() else { return };
    let farm = farm(&engine, &["--workers", "1", "--prefetch"]);
    let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let holder = Draft::script("holder", &format!("print('UP', flush=True)\n{}\n", gate.python()));
    let mounts = format!("-v {0}:{0}", farm.place.path("").display());
    let holder = farm.enqueue(&holder, json!({ "image": image.name, "arguments": mounts }));
    eventually("the holder runs", || !farm.api.console_lines(&holder, "UP").is_empty());
    let task = farm.enqueue(&draft(PROGRAM, "thing=4.0", ""), image.container());
    eventually("it is ready", || {
        let prefetch = farm.daemon.status(&farm.place).prefetch.unwrap_or_default();
        prefetch.ready.contains(&task.as_str().into())
    });
    gate.open();
    farm.api.ended_as(&task, "completed");
    let console = farm.api.console(&task);
    assert!(console.contains("GOT 4.0") && console.contains(", reused"), "{console}");
    farm.api.ended_as(&holder, "completed");
    farm.is_clean();
}

/// A statically linked program that is a micromamba as far as anybody can see from outside.
fn static_micromamba(folder: &Path) -> std::path::PathBuf {
    let bytes: Vec<String> = STAND_IN.bytes().map(|byte| byte.to_string()).collect();
    let source = folder.join("micromamba.c");
    let code = format!(
        "#include <stdlib.h>\n#include <unistd.h>\nstatic char text[] = {{ {}, 0 }};\n\
         int main(int count, char **words) {{\n\
         char **all = calloc(count + 3, sizeof *all);\n\
         all[0] = \"python3\"; all[1] = \"-c\"; all[2] = text;\n\
         for (int at = 1; at < count; at++) all[at + 2] = words[at];\n\
         execv(\"/usr/bin/python3\", all);\n\
         return 127;\n}}\n",
        bytes.join(",")
    );
    std::fs::write(&source, code).unwrap();
    let program = folder.join("micromamba");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-o"]).arg(&program).arg(&source);
    compiler.finish_within(std::time::Duration::from_secs(60)).ok();
    program
}

#[test]
fn an_image_without_conda_gets_the_micromamba_of_the_machine_where_it_is_static() {
    for engine in Engine::all() {
        let farm = farm(&engine, &["--workers", "1"]);
        let program = static_micromamba(&farm.place.path("bin"));
        let python = json!({ "image": "hostler-test/python" });
        let console = run(&farm, &draft(PROGRAM, "thing=5.0", ""), python);
        let words = format!("making an environment with micromamba ({} of the machine)", program.display());
        assert!(console.contains(&words) && console.contains("GOT 5.0"), "{console}");
        let task = farm.enqueue(&draft(PROGRAM, "thing", ""), json!({ "image": "hostler-test/musl" }));
        assert!(farm.failure(&task).contains("and it has no glibc"), "{}", farm.api.console(&task));
        farm.is_clean();
    }
}
