//! One clear message for each thing that can be wrong, of the right class; and the worker goes on.

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use super::{Engine, Farm, unique};
use crate::harness::Draft;

fn program() -> Draft {
    Draft::script("fails", "print('never seen')")
}

fn refused(farm: &Farm, container: Value) -> String {
    let task = farm.enqueue(&program(), container);
    let reason = farm.failure(&task);
    assert!(!farm.api.console(&task).contains("never seen"));
    reason
}

#[test]
fn what_is_wrong_is_said_and_the_worker_goes_on() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let image = "hostler-test/python";

        let reason = refused(&farm, json!({ "image": "localhost:9/no/such:image" }));
        assert!(reason.starts_with("image failure while image: the image localhost:9/no/such:image"), "{reason}");

        // As it is said, it would be a question about something else.
        for wrong in ["UPPER/../case", "hostler-test/python?x=1", "http://host/a"] {
            let reason = refused(&farm, json!({ "image": wrong }));
            assert!(reason.starts_with(&format!("image failure while image: the image {wrong} cannot")), "{reason}");
        }

        // What engines find out when the container is made, or only when it starts.
        for (arguments, word) in [
            ("--user nosuch", "nosuch"),
            ("--device /dev/nosuch", "/dev/nosuch"),
            ("--network nosuch", "nosuch"),
            ("--cap-add NOSUCH", "CAP_NOSUCH"),
            ("--sysctl kernel.nosuch=1", "kernel.nosuch"),
            ("--security-opt nosuch=1", "nosuch=1"),
            ("--pid nosuch", "`--pid nosuch`"),
        ] {
            let reason = refused(&farm, json!({ "image": image, "arguments": arguments }));
            assert!(reason.starts_with("environment failure") && reason.contains(word), "{arguments}: {reason}");
        }

        let reason = refused(&farm, json!({ "image": image, "arguments": "--no-such-switch" }));
        assert!(reason.contains("environment failure") && reason.contains("--no-such-switch"), "{reason}");

        let reason =
            refused(&farm, json!({ "image": image, "arguments": "--mount type=bind,src=/no/such/path,dst=/x" }));
        assert!(reason.contains("environment failure") && reason.contains("/no/such/path"), "{reason}");

        let name = unique("hostler-clash");
        engine.say(&["create", "--name", &name, image, "/bin/true"]);
        let reason = refused(&farm, json!({ "image": image, "arguments": format!("--name {name}") }));
        engine.say(&["rm", &name]);
        assert!(reason.contains("environment failure") && reason.contains(&name), "{reason}");

        let task = program().enqueue(&farm.api);
        farm.api.ended_as(&task, "completed");
        farm.is_clean();
    }
}

#[test]
fn an_image_of_another_platform_is_not_taken() {
    let (own, other) = match std::env::consts::ARCH {
        "x86_64" => ("linux/amd64", "linux/arm64"),
        "aarch64" => ("linux/arm64", "linux/amd64"),
        own => (own, "linux/amd64"),
    };
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        // Nobody listens there: what is not on this machine cannot be had.
        let name = format!("localhost:9/{}:1", unique("platform"));
        engine.say(&["tag", "hostler-test/python", &name]);
        let on = |platform: &str| json!({ "image": name, "arguments": format!("--platform {platform}") });
        let reason = refused(&farm, on(other));
        assert!(reason.starts_with(&format!("image failure while image: the image {name}")), "{reason}");
        let task = farm.enqueue(&Draft::script("runs", "print('it runs')"), on(own));
        farm.api.ended_as(&task, "completed");
        assert!(farm.api.console(&task).contains("it runs"));
        engine.say(&["rmi", &name]);
        farm.is_clean();
    }
}

#[test]
fn a_task_that_takes_more_memory_than_it_has_is_told_so() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let greedy =
            Draft::script("greedy", "print('greedy', flush=True)\nblocks = [bytearray(8 << 20) for _ in range(400)]\n");
        let arguments = "--memory 160m --memory-swap 160m";
        let task = farm.enqueue(&greedy, json!({ "image": "hostler-test/python", "arguments": arguments }));
        let reason = farm.failure(&task);
        assert!(reason.starts_with("oom_host failure") && reason.contains("--memory"), "{}: {reason}", engine.flag);
        farm.is_clean();
    }
}

#[test]
fn an_engine_that_does_not_answer_is_an_infrastructure_failure() {
    let Some(mut engine) = Engine::docker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    // Nobody listens there any more.
    drop(UnixListener::bind(&socket).unwrap());
    let real = std::mem::replace(&mut engine.address, format!("unix://{}", socket.display()));
    let patience = [("CLEARML_AGENT__AGENT__HOSTLER__ENGINE_PATIENCE", "0.5")];
    let mut farm = Farm::start_with(&engine, &["--workers", "1"], &patience);
    farm.engine.address = real;
    let task = program().enqueue(&farm.api);
    let reason = farm.failure(&task);
    assert!(reason.contains("infrastructure failure") && reason.contains("no container engine answers at"), "{reason}");
}
