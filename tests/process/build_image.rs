//! `hostler build --docker`: an image of a task.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::containers::Engine;
use crate::containers::conda::{self, CondaImage};
use crate::containers::interpreters::Downloads;
use crate::harness::{Api, Draft, Finished, Place, ProcessExt as _, Server, eventually};

const LIMIT: Duration = Duration::from_secs(240);
const PROGRAM: &str = "import os, sys, six\nprint('six', six.__version__, os.path.exists('/made-by-setup'), sys.argv[1:])\n\
    print('task', os.environ['CLEARML_TASK_ID'])\nsys.exit(7)\n";

/// A server, and an image that is removed in the end.
struct Workshop {
    engine: Engine,
    place: Place,
    server: Server,
    api: Api,
    image: String,
}

impl Workshop {
    fn open(engine: &Engine, name: &str) -> Self {
        let place = Place::new();
        let server = Server::start(&place);
        let api = server.api();
        let image = format!("hostler-test/{name}-{}:one", std::process::id());
        Self { engine: engine.clone(), place, server, api, image }
    }

    fn build(&self, task: &str, arguments: &[&str]) -> Finished {
        self.build_with(task, arguments, &[])
    }

    fn build_with(&self, task: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        self.command(task, arguments, environment).finish_within(LIMIT)
    }

    fn command(&self, task: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = self.place.hostler();
        command
            .args(["build", "--json", "--state-dir"])
            .arg(self.place.path("state"))
            .args(["--id", task, "--target", &self.image])
            .args(arguments)
            .envs(environment.iter().copied())
            .env("CLEARML_CONFIG_FILE", self.server.configuration_file())
            .env(self.engine.variable, &self.engine.address);
        command
    }

    /// A task with packages, a setup script, and a password in its arguments.
    fn task(&self, setup: &str) -> String {
        let draft =
            Draft::script("baked", PROGRAM).with("entry_point", "baked.py --lr 0.1").requirements("six==1.16.0");
        let task = draft.create(&self.api);
        let container = json!({
            "image": "hostler-test/python", "arguments": "-e OF_TASK=hunter2", "setup_shell_script": setup,
        });
        self.api.call("tasks.edit", json!({ "task": task, "container": container }));
        task
    }

    /// What clients of the server have to know, as arguments of `docker run`.
    fn access(&self) -> [String; 2] {
        let file = self.server.configuration_file();
        ["-v".to_owned(), format!("{}:/root/clearml.conf:ro", file.display())]
    }

    fn run(&self, options: &[String], command: &[&str]) -> Output {
        let mut docker = Command::new("docker");
        docker.args(["--host", &self.engine.address, "run", "--rm", "--network", "host"]).args(options);
        docker.arg(&self.image).args(command).output().unwrap()
    }

    fn inspect(&self) -> Option<Value> {
        let output = self.engine.call(&["image", "inspect", &self.image]);
        let inspected: Value = serde_json::from_slice(&output.stdout).ok()?;
        inspected.get(0).cloned()
    }

    fn has_no_container(&self, task: &str) -> bool {
        !self.engine.say(&["ps", "--all", "--format", "{{.Labels}} {{.Image}}"]).contains(task)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.engine.call(&["image", "rm", "--force", &self.image]);
    }
}

#[test]
fn an_image_runs_its_task_or_a_copy_and_knows_no_secret() {
    let Some(engine) = Engine::docker() else { return };
    let shop = Workshop::open(&engine, "baked");
    let task = shop.task("test \"$OF_TASK\" = hunter2 && touch /made-by-setup");
    let before = shop.api.task(&task);
    shop.build(&task, &["--docker", "--entry-point", "clone_task"]).ok();
    assert_eq!(shop.api.task(&task), before, "the server is not changed");
    assert!(shop.has_no_container(&task));
    let inspected = shop.inspect().expect("the image is there");
    assert_eq!(inspected["Config"]["Labels"]["hostler.attempt"], "", "{inspected:#}");

    // Neither the server's secrets nor the task's own are in any layer, or in what the engine shows.
    let saved = shop.place.path("saved.tar");
    engine.say(&["save", "--output", saved.to_str().unwrap(), &shop.image]);
    let configuration = std::fs::read_to_string(shop.server.configuration_file()).unwrap();
    let secret = configuration.lines().find(|line| line.contains("secret_key")).unwrap();
    let secret = secret.split('"').rfind(|part| part.len() > 20).unwrap();
    let has = |word: &str| {
        let found = Command::new("grep").args(["--quiet", "--text", "--fixed-strings", word]).arg(&saved).status();
        found.unwrap().success()
    };
    assert!(has("six-1.16.0"), "the layers can be searched");
    assert!(!has(secret) && !has("hunter2") && !has(&shop.server.api_url()));

    let ran = shop.run(&shop.access(), &[]);
    let (out, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.status.code(), Some(7), "{out}{errors}");
    assert!(out.contains("six 1.16.0 True ['--lr', '0.1']"), "{out}{errors}");
    let copy = out.lines().find_map(|line| line.strip_prefix("task ")).unwrap().to_owned();
    assert_ne!(copy, task);
    assert_eq!(shop.api.ended_as(&copy, "failed")["status_reason"], "worker execution exit code 7");
    assert_eq!(shop.api.status(&task), "created");

    shop.build(&task, &["--docker", "--entry-point", "reuse_task"]).ok();
    assert_eq!(shop.run(&shop.access(), &[]).status.code(), Some(7));
    shop.api.ended_as(&task, "failed");
    // Without a server it says so, and nothing runs.
    let ran = shop.run(&[], &[]);
    assert_eq!(ran.status.code(), Some(78), "{ran:?}");
}

#[test]
fn an_image_without_an_entry_point_does_what_it_is_told() {
    for engine in Engine::all() {
        let shop = Workshop::open(&engine, "plain");
        let task = shop.task("touch /made-by-setup");
        let built: Value = serde_json::from_str(&shop.build(&task, &[engine.flag]).ok()).unwrap();
        let words: Vec<&str> = built["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let task_id = ["-e".to_owned(), format!("CLEARML_TASK_ID={task}")];
        let ran = shop.run(&task_id, &words);
        assert!(String::from_utf8_lossy(&ran.stdout).contains("six 1.16.0 True"), "{ran:?}");
        if engine.flag == "--docker" {
            // Of Podman, the client of Docker does not hear how a container ended that is removed at its end.
            assert_eq!(ran.status.code(), Some(7));
        }
    }
}

/// Nobody is left who would remove it, and nobody may build that task again.
#[test]
fn a_build_that_is_killed_leaves_no_container() {
    for engine in Engine::all() {
        let shop = Workshop::open(&engine, "killed");
        let task = shop.task("sleep 100");
        let mut build = shop.command(&task, &[engine.flag], &[]).stdout(Stdio::null()).spawn().unwrap();
        eventually("a container of the build", || !shop.has_no_container(&task));
        build.kill().unwrap();
        build.wait().unwrap();
        eventually("no container of the build", || shop.has_no_container(&task));
        assert!(shop.inspect().is_none());
    }
}

/// The image's user is a name, which only its own files know the number of.
#[test]
fn the_user_of_an_image_may_write_where_its_task_works() {
    let Some(engine) = Engine::docker() else { return };
    let (shop, base) = (Workshop::open(&engine, "named"), format!("hostler-test/named-{}", std::process::id()));
    let container = engine.say(&["create", "hostler-test/user"]);
    engine.say(&["commit", "--change", "USER me", &container, &base]);
    engine.say(&["rm", &container]);
    let program = "import os\nopen('result', 'w').write('x')\nprint('written by', os.getuid(), 'in', os.getcwd())";
    let task = Draft::script("named", program).create(&shop.api);
    shop.api.call("tasks.edit", json!({ "task": task, "container": { "image": base } }));
    shop.build(&task, &["--docker"]).ok();
    let ran = shop.run(&[], &["python3", "program.py"]);
    engine.call(&["image", "rm", "--force", &base]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "written by 1234 in /hostler/task/code\n", "{ran:?}");
}

/// The image of the task has no Python; the one that is made of it has the one that was got.
#[test]
fn an_interpreter_that_was_got_for_the_image_is_in_it() {
    let Some(engine) = Engine::docker() else { return };
    let (shop, downloads) = (Workshop::open(&engine, "got"), Downloads::one());
    let draft = Draft::script("got", PROGRAM).requirements("six==1.16.0");
    let task = draft.with("binary", format!("python{}", downloads.version)).create(&shop.api);
    shop.api.call("tasks.edit", json!({ "task": task, "container": { "image": "hostler-test/plain" } }));
    let list = downloads.list();
    let built = shop.build_with(&task, &[engine.flag], &[(Downloads::VARIABLE, &list)]).ok();
    let built: Value = serde_json::from_str(&built).unwrap();
    let words: Vec<&str> = built["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let ran = shop.run(&["-e".to_owned(), format!("CLEARML_TASK_ID={task}")], &words);
    assert!(String::from_utf8_lossy(&ran.stdout).contains("six 1.16.0 False"), "{ran:?}");
    assert_eq!(ran.status.code(), Some(7));
}

/// What conda writes its place into is where it will be, binary files included.
#[test]
fn an_environment_of_conda_is_made_for_its_place_in_the_image() {
    let program = "import os, sys, thing\n\
        prefix = os.environ.get('CONDA_PREFIX')\n\
        written = open(os.path.join(sys.prefix, 'lib/prefix.bin'), 'rb').read().strip(b'\\0').decode()\n\
        print('GOT', thing.VERSION, sys.prefix == prefix == written, prefix)\nsys.exit(7)\n";
    for engine in Engine::all() {
        let (shop, base) = (Workshop::open(&engine, "conda"), CondaImage::with(&engine, "/opt/conda/bin/conda"));
        let task = conda::draft(program, "thing=6.0", "").create(&shop.api);
        shop.api.call("tasks.edit", json!({ "task": task, "container": { "image": base.name } }));
        let built = shop.build_with(&task, &[engine.flag], &[conda::TYPE, conda::CHANNELS]).ok();
        let built: Value = serde_json::from_str(&built).unwrap();
        let words: Vec<&str> = built["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let expected = "GOT 6.0 True /hostler/task/environment/venv";
        let ran = shop.run(&["-e".to_owned(), format!("CLEARML_TASK_ID={task}")], &words);
        assert!(String::from_utf8_lossy(&ran.stdout).contains(expected), "{ran:?}");
        if engine.flag == "--docker" {
            shop.build_with(&task, &["--docker", "--entry-point", "reuse_task"], &[conda::TYPE, conda::CHANNELS]).ok();
            let ran = shop.run(&shop.access(), &[]);
            let out = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.code() == Some(7) && out.contains(expected), "{ran:?}");
        }
    }
}

#[test]
fn a_build_that_fails_leaves_neither_container_nor_image() {
    let Some(engine) = Engine::docker() else { return };
    let shop = Workshop::open(&engine, "failed");
    let fails = |task: &str, arguments: &[&str], code: i32, words: &str| {
        let done = shop.build(task, arguments);
        let last = done.stderr.lines().last().unwrap_or_default();
        assert!(done.code() == code && last.contains(words), "{words}: {done:#?}");
        assert!(shop.has_no_container(task) && shop.inspect().is_none());
    };
    let task = shop.task("exit 3");
    fails(&task, &["--docker"], 1, "setup script of the task failed: exit code 3");
    fails(&task, &["--docker", "--force-docker"], 2, "which image");
    fails(&task, &["--entry-point", "reuse_task"], 2, "--docker");
    fails(&task, &["--docker", "--install-globally"], 2, "of its own");
    // The one that is given, in which there is no Python; whatever the task names.
    fails(&task, &["--docker", "hostler-test/plain", "--force-docker"], 1, "no Python");
    let shell = Draft::script("shell", "echo hello\n").with("binary", "/bin/sh").with("entry_point", "run.sh");
    let shell = shell.create(&shop.api);
    let musl = ["--docker", "hostler-test/musl", "--force-docker"];
    fails(&shell, &[&musl[..], &["--entry-point", "reuse_task"]].concat(), 1, "hostler");
    shop.build(&shell, &musl).ok();
    assert_eq!(shop.run(&[], &["sh", "run.sh"]).stdout, b"hello\n");
}
