//! `hostler explain container`: the whole way from a configuration and a task to what the engine is asked for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Finished, Place, ProcessExt};

const CONFIGURATION: &str = r#"agent {
    default_docker { image: "debian:12", arguments: "--ipc=host", match_rules: [
        { image: "python:3.10", match { script.binary: "python3.10$" } }
    ] }
    extra_docker_arguments: ["-v", "/data:/data", "--network", "host", "-e", "MY_TOKEN=hunter2", "-e", "FROM=$OF_HOST"]
    forbidden_docker_args: [privileged, entypoint]
}"#;

fn explain(place: &Place, arguments: &[&str]) -> Finished {
    let file = place.path("containers.conf");
    std::fs::write(&file, CONFIGURATION).unwrap();
    let mut command = place.hostler();
    command.arg("explain").arg("container").args(arguments).env("CLEARML_CONFIG_FILE", file);
    command.env("OF_HOST", "of the host");
    command.finish_within(Duration::from_secs(60))
}

#[test]
fn what_a_task_gets_is_shown_before_there_is_one() {
    let place = Place::new();
    let arguments = "--shm-size 8g --net mine --privileged -it -e A=1 -e HOME";
    let text = explain(&place, &["--image", "busybox", "--task-args", arguments, "--json"]).ok();
    assert!(!text.contains("hunter2"), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["image"], "busybox");
    let host = &document["request"]["HostConfig"];
    assert_eq!((&host["ShmSize"], &host["NetworkMode"]), (&json!(8_u64 << 30), &json!("host")));
    assert_eq!(host["Binds"], json!(["/data:/data"]));
    assert_eq!(document["request"]["Env"], json!(["A=1", "FROM=of the host", "MY_TOKEN=********"]));
    let removed: Vec<&str> =
        document["removed"].as_array().unwrap().iter().map(|removal| removal["argument"].as_str().unwrap()).collect();
    assert_eq!(removed, ["-e HOME", "--privileged", "--net mine"]);
    assert_eq!(document["without_effect"].as_array().unwrap().len(), 2);
    assert!(document["problems"][0].as_str().unwrap().contains("is `entrypoint` meant?"), "{text}");
}

#[test]
fn a_person_reads_which_image_and_whose_arguments() {
    let place = Place::new();
    let text = explain(&place, &[]).ok();
    for line in
        ["image       debian:12 (agent.default_docker.image)", "argument    --ipc=host (of the default container)"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let text = explain(&place, &["--docker", "alpine", "--shm-size", "1g"]).ok();
    assert!(text.contains("image       alpine (--docker)") && text.contains("--shm-size 1g"), "{text}");
    assert!(!text.contains("hunter2") && text.contains("MY_TOKEN=********"), "{text}");
}

#[test]
fn an_argument_that_is_not_understood_is_refused() {
    let place = Place::new();
    let refused = explain(&place, &["--task-args", "--shmsize 8g"]);
    assert_eq!(refused.code(), 1, "{refused:#?}");
    let text = format!("{refused:?}");
    assert!(text.contains("`--shmsize` (of the task) is no switch of a container; is `shm-size` meant?"), "{text}");
}
