//! From the pull to the end: what a task finds, what it leaves, how it is stopped.

use std::time::Instant;

use serde_json::json;

use super::{DEAF, Engine, Farm, POLITE, unique};
use crate::harness::{Draft, Gate, audit, eventually, eventually_some};

const WHO: &str = "import os, sys\n\
    print('pid', os.getpid(), 'in', os.getcwd())\n\
    print('mine', os.environ.get('MINE'), 'task', os.environ.get('CLEARML_TASK_ID'))\n\
    print(open(os.environ['CLEARML_CONFIG_FILE']).read().count('access_key'), 'credentials')\n\
    open('result.txt', 'w').write('kept')\n\
    sys.exit(int(os.environ.get('CODE', '0')))\n";

#[test]
fn a_task_runs_in_its_image_and_leaves_nothing() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let arguments = "-e MINE=yes --shm-size 128m -e CODE=3";
        let draft = Draft::script("who", WHO);
        let task = farm.enqueue(&draft, json!({ "image": "hostler-test/python", "arguments": arguments }));
        let ended = farm.api.ended_as(&task, "failed");
        assert_eq!(ended["status_reason"], "worker execution exit code 3");
        let console = farm.api.console(&task);
        assert!(console.contains(&format!("mine yes task {task}")), "{console}");
        assert!(console.contains("1 credentials"), "{console}");
        // Another one, of the daemon's default image, goes the same way: nothing has to be found out again.
        let again = Draft::script("again", WHO).enqueue(&farm.api);
        farm.api.ended_as(&again, "completed");
        assert!(farm.api.console(&again).contains("reused"), "{}", farm.api.console(&again));
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn no_secret_is_in_what_the_engine_shows() {
    let Some(engine) = Engine::docker() else { return };
    let farm = Farm::start(&engine, &["--workers", "1"]);
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let mount = format!("-v {0}:{0}", farm.place.path("").display());
    let draft = Draft::script("secret", &gate.python());
    let task = farm.enqueue(&draft, json!({ "image": "hostler-test/python", "arguments": mount }));
    let inspected = eventually_some("its container", || engine.container_of(&farm.place, &task)).to_string();
    let configuration = std::fs::read_to_string(farm.server.configuration_file()).unwrap();
    let secret = configuration.lines().find(|line| line.contains("secret_key")).unwrap();
    let secret = secret.split('"').rfind(|part| part.len() > 20).unwrap();
    assert!(!inspected.contains(secret));
    assert!(inspected.contains("hostler.attempt"));
    gate.open();
    farm.api.ended_as(&task, "completed");
    farm.is_clean();
}

#[test]
fn packages_are_installed_once_for_an_image() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "2"]);
        let program = "import six\nprint('six', six.__version__, six.__file__)";
        let draft = Draft::script("packages", program).requirements("six==1.16.0");
        let tasks = [(); 2].map(|()| draft.enqueue(&farm.api));
        for task in &tasks {
            farm.api.ended_as(task, "completed");
            assert!(farm.api.console(task).contains("six 1.16.0"), "{}", farm.api.console(task));
        }
        let built = tasks.iter().filter(|task| farm.api.console(task).contains("packages installed in")).count();
        assert_eq!(built, 1, "two tasks with the same packages, one environment");
        let reported = farm.api.task(&tasks[0])["script"]["requirements"]["pip"].to_string();
        assert!(reported.contains("six==1.16.0"), "{reported}");
        farm.is_clean();
    }
}

#[test]
fn setup_scripts_are_scripts() {
    let Some(engine) = Engine::docker() else { return };
    let farm = Farm::start_with(
        &engine,
        &["--workers", "1"],
        &[("CLEARML_AGENT__AGENT__EXTRA_DOCKER_SHELL_SCRIPT", "[\"export FIRST=one\", \"echo operator\"]")],
    );
    let script = "if [ \"$FIRST\" = one ]; then\n  for word in a b; do\n    echo loop $word\n  done\nfi\n\
                  cat <<END\nheredoc $FIRST\nEND\nexport SECOND=\"two words\"\n";
    let program = "import os; print('exported', os.environ['FIRST'], os.environ['SECOND'])";
    let container = json!({ "image": "hostler-test/python", "setup_shell_script": script });
    let task = farm.enqueue(&Draft::script("setup", program), container);
    farm.api.ended_as(&task, "completed");
    let console = farm.api.console(&task);
    for line in ["operator", "loop a", "loop b", "heredoc one", "exported one two words"] {
        assert!(console.lines().any(|found| found == line), "{line}: {console}");
    }
    // Without any program of the image on the way.
    let trap = "trap 'echo good bye' EXIT\nset -a\nFIRST=one\nSECOND=two\necho set > /dev/stderr\nPATH=/nowhere\n";
    let program =
        "import os; print('exported', os.environ['FIRST'], os.environ['SECOND'], os.environ['PATH'].split(':')[-1])";
    let task = farm.enqueue(
        &Draft::script("trap", program),
        json!({ "image": "hostler-test/python", "setup_shell_script": trap }),
    );
    farm.api.ended_as(&task, "completed");
    let console = farm.api.console(&task);
    for text in ["good bye", "set", "exported one two /nowhere"] {
        assert!(console.lines().any(|line| line == text), "{text}: {console}");
    }
    let wrong = json!({ "image": "hostler-test/python", "setup_shell_script": "echo before\nexit 7\n" });
    let task = farm.enqueue(&Draft::script("wrong", program), wrong);
    let reason = farm.failure(&task);
    assert!(
        reason.contains("environment failure") && reason.contains("setup script of the task failed: exit code 7"),
        "{reason}"
    );
    farm.is_clean();
}

#[test]
fn an_abort_is_heard_and_otherwise_enforced() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "2"]);
        let tasks = [POLITE, DEAF].map(|program| Draft::script("abort", program).enqueue(&farm.api));
        for task in &tasks {
            eventually("a task that is ready", || farm.api.console(task).lines().any(|line| line == "ready"));
        }
        let begun = Instant::now();
        tasks.iter().for_each(|task| drop(farm.api.call("tasks.stop", json!({ "task": task }))));
        tasks.iter().for_each(|task| drop(farm.api.ended_as(task, "stopped")));
        eprintln!("{}: both ended {} ms after the abort", engine.flag, begun.elapsed().as_millis());
        assert!(farm.api.console(&tasks[0]).contains("last words"), "{}", farm.api.console(&tasks[0]));
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn what_is_published_and_named_is_as_asked() {
    let Some(engine) = Engine::docker() else { return };
    let farm = Farm::start(&engine, &["--workers", "1"]);
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let name = unique("hostler-named");
    let arguments =
        format!("--name {name} --memory 512m --cpus 0.5 --hostname inside -v {0}:{0}", farm.place.path("").display());
    let draft = Draft::script("named", &gate.python());
    let task = farm.enqueue(&draft, json!({ "image": "hostler-test/python", "arguments": arguments }));
    let inspected = eventually_some("its container", || {
        engine.container_of(&farm.place, &task).filter(|it| it["Name"] == format!("/{name}"))
    });
    assert_eq!(inspected["Name"], format!("/{name}"));
    assert_eq!(inspected["HostConfig"]["Memory"], 512 << 20);
    assert_eq!(inspected["HostConfig"]["NanoCpus"], 500_000_000);
    gate.open();
    farm.api.ended_as(&task, "completed");
    farm.is_clean();
}
