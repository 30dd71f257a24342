//! What a task is told of its container, which it did not name.

use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::{Engine, Farm};
use crate::harness::{Draft, Gate, audit, eventually, eventually_some};

#[test]
fn a_task_is_told_which_image_and_arguments_it_got() {
    for engine in Engine::all() {
        let variable = "CLEARML_AGENT__AGENT__DEFAULT_DOCKER__ARGUMENTS";
        let arguments = [(variable, "[\"-e\", \"WORDS=a b\", \"--shm-size=128m\"]")];
        let farm = Farm::start_with(&engine, &["--workers", "2"], &arguments);
        let program = "import os; print('GOT', os.environ.get('WORDS'))";
        let setup = json!({ "setup_shell_script": "echo set up" });
        let (tells, knows) = (Draft::script("tells", program), Draft::script("knows", program));
        let (tells, knows) =
            (farm.enqueue(&tells, setup), farm.enqueue(&knows, json!({ "image": "hostler-test/python" })));
        farm.api.ended_as(&tells, "completed");
        farm.api.ended_as(&knows, "completed");
        let container = farm.api.task(&tells)["container"].clone();
        let expected = json!({ "image": "hostler-test/python", "arguments": "-e 'WORDS=a b' --shm-size=128m",
            "setup_shell_script": "echo set up" });
        assert_eq!(container, expected);
        assert_eq!(farm.api.console_lines(&tells, "GOT"), ["GOT a b"]);
        let container = farm.api.task(&knows)["container"].clone();
        assert_eq!(
            (&container["image"], container["arguments"].as_str().unwrap_or_default()),
            (&json!("hostler-test/python"), "")
        );
        // What it was told is what it gets the next time.
        farm.api.call("tasks.reset", json!({ "task": tells }));
        farm.api.enqueue(&tells, "default");
        farm.api.ended_as(&tells, "completed");
        assert_eq!(farm.api.console_lines(&tells, "GOT"), ["GOT a b"]);
        assert_eq!(farm.api.task(&tells)["container"], expected);
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn a_port_that_is_taken_is_replaced_and_the_task_is_told() {
    let Some(engine) = Engine::docker() else { return };
    if engine.say(&["network", "ls", "--filter", "driver=bridge", "--quiet"]).is_empty() {
        eprintln!("skipped: this Docker Engine has no network of its own, because it may not filter packets here");
        return;
    }
    // Nor is a way out needed for what is shown here.
    let farm = Farm::start_with(&engine, &["--workers", "1"], &[("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1")]);
    let mut gate = Gate::shut(&farm.place.path("gate"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let program = format!(
        "import socket\nserver = socket.create_server(('', 8000))\nprint('UP', flush=True)\nserver.accept()\n\
         print('CALLED', flush=True)\n{}\n",
        gate.python()
    );
    let place = farm.place.path("");
    let arguments = format!("--network bridge -p {port}:8000 -v {0}:{0}", place.display());
    let container = json!({ "image": "hostler-test/python", "arguments": arguments });
    let task = farm.enqueue(&Draft::script("serves", &program), container);
    eventually("it serves", || !farm.api.console_lines(&task, "UP").is_empty());
    let mapping = farm.api.task(&task)["runtime"]["_external_host_tcp_port_mapping"].as_str().unwrap().to_owned();
    let (outside, inside) = mapping.split_once(':').unwrap();
    assert_eq!(inside, "8000");
    assert_ne!(outside, port.to_string());
    let call = eventually_some("somebody there", || TcpStream::connect(format!("127.0.0.1:{outside}")).ok());
    eventually("it is called", || !farm.api.console_lines(&task, "CALLED").is_empty());
    drop(call);
    gate.open();
    farm.api.ended_as(&task, "completed");
    farm.is_clean();
    audit(&farm.place);
}
