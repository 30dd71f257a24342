//! What we ask an engine for is what Docker's own command line asks it for, given the same arguments.
//!
//! `recorded.jsonl` holds what `docker create` sent, one line for each of `arguments.txt`. Where the program `docker` is
//! there, it is asked again, on a socket that is no engine; `HOSTLER_RECORD=1` writes down what it says.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![expect(clippy::print_stderr, reason = "what was skipped, and why")]

mod listener;

use std::path::PathBuf;
use std::process::Command;

use drivers::container::{GpuAccess, NewContainer};
use listener::Listener;
use protocols::container::{ContainerSpec, GpuCount, Origin, SWITCHES, parse};
use protocols::words::split;
use serde_json::{Map, Value, json};

/// What is ours to decide, whatever the arguments say, and what means nothing for a task.
const OURS: [&str; 9] =
    ["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "Cmd", "Entrypoint", "Image"];
const OURS_OF_HOST: [&str; 4] = ["AutoRemove", "RestartPolicy", "Init", "ConsoleSize"];

/// Switches that reach no engine: without effect, refused, not of `docker create`, or read before there is a call.
const NOT_SENT: [&str; 18] = [
    "cidfile",
    "cpu-count",
    "cpu-percent",
    "detach",
    "detach-keys",
    "disable-content-trust",
    "env-file",
    "help",
    "io-maxbandwidth",
    "io-maxiops",
    "isolation",
    "label-file",
    "pull",
    "quiet",
    "restart",
    "rm",
    "sig-proxy",
    "use-api-socket",
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/docker_cli").join(name)
}

fn lines() -> Vec<String> {
    std::fs::read_to_string(file("arguments.txt")).unwrap().lines().map(str::to_owned).collect()
}

/// What we ask for.
fn ours(arguments: &str) -> Value {
    let (spec, _) = ContainerSpec::of(&parse(arguments, Origin::Task).unwrap()).unwrap();
    let asked = spec.gpus.as_ref().map(|gpus| gpus.count.clone());
    // Which cards there are is the lease's matter; here it has those that are asked for.
    let cards = match &asked {
        Some(GpuCount::Devices(devices)) => devices.clone(),
        Some(GpuCount::All | GpuCount::Count(_)) => vec!["any".to_owned()],
        None => Vec::new(),
    };
    let container = NewContainer { spec, gpus: GpuAccess::Cards(cards), ..NewContainer::default() };
    let mut body = serde_json::to_value(container.body()).unwrap();
    if !matches!(asked, Some(GpuCount::Devices(_)))
        && let Some(request) = body.pointer_mut("/HostConfig/DeviceRequests/0")
        && request["Driver"] != "cdi"
    {
        request["DeviceIDs"] = Value::Null;
    }
    normal(body)
}

/// A body without what is ours to decide, without what stands for nothing, and in one order.
fn normal(mut body: Value) -> Value {
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, _| !OURS.contains(&name.as_str()));
    if let Some(Value::Array(variables)) = fields.get_mut("Env") {
        // The last one of a name counts.
        let name = |variable: &Value| variable.as_str().unwrap().split('=').next().unwrap().to_owned();
        let last: std::collections::BTreeMap<String, Value> =
            variables.iter().map(|variable| (name(variable), variable.clone())).collect();
        *variables = last.into_values().collect();
    }
    if let Some(Value::Object(host)) = fields.get_mut("HostConfig") {
        host.retain(|name, value| {
            let is_default = (name == "MemorySwappiness" && *value == json!(-1)) || value == "default";
            !OURS_OF_HOST.contains(&name.as_str()) && !is_default
        });
        // Docker's CLI holds the binds in a set: their order is another one each time.
        if let Some(Value::Array(binds)) = host.get_mut("Binds") {
            binds.sort_by_key(ToString::to_string);
        }
        for name in ["CapAdd", "CapDrop"] {
            if let Some(Value::Array(capabilities)) = host.get_mut(name) {
                // An engine takes a capability with and without what Docker puts before it.
                for capability in capabilities.iter_mut() {
                    *capability = json!(capability.as_str().unwrap().trim_start_matches("CAP_"));
                }
                capabilities.sort_by_key(ToString::to_string);
            }
        }
        if let Some(Value::Array(requests)) = host.get_mut("DeviceRequests") {
            for request in requests {
                request.as_object_mut().unwrap().remove("Count");
                if let Some(Value::Array(sets)) = request.get_mut("Capabilities") {
                    for set in sets {
                        set.as_array_mut().unwrap().sort_by_key(ToString::to_string);
                    }
                }
            }
        }
    }
    pruned(body).unwrap_or_else(|| Value::Object(Map::new()))
}

/// Without nulls, zeros, empty texts, lists and objects.
fn pruned(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_i64() == Some(0) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) => Some(items.into_iter().map(|item| pruned(item).unwrap_or(Value::Null)).collect())
            .filter(|items: &Vec<Value>| !items.is_empty())
            .map(Value::Array),
        Value::Object(fields) => {
            // The sets of ports and of volumes are objects whose values are empty.
            let is_member = |(name, value): (&String, &Value)| name.contains('/') && *value == json!({});
            let is_set = !fields.is_empty() && fields.iter().all(is_member);
            let kept: Map<String, Value> = if is_set {
                fields
            } else {
                fields.into_iter().filter_map(|(name, value)| Some((name, pruned(value)?))).collect()
            };
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        other @ (Value::Bool(true) | Value::Number(_) | Value::String(_)) => Some(other),
    }
}

#[test]
fn we_ask_for_what_docker_asks_for() {
    let recorded = std::fs::read_to_string(file("recorded.jsonl")).unwrap();
    let recorded: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines = lines();
    assert_eq!(recorded.len(), lines.len(), "record again: HOSTLER_RECORD=1");
    for (arguments, recorded) in lines.iter().zip(recorded) {
        assert_eq!(recorded["arguments"], *arguments, "record again: HOSTLER_RECORD=1");
        assert_eq!(ours(arguments), recorded["body"], "{arguments}");
    }
}

#[test]
fn every_switch_is_among_the_arguments() {
    let lines = lines().join(" ");
    let used: Vec<&str> = parse(&lines, Origin::Task).unwrap().iter().map(|argument| argument.switch.long).collect();
    let missing: Vec<&str> = SWITCHES
        .iter()
        .map(|switch| switch.long)
        .filter(|name| !used.contains(name) && !NOT_SENT.contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn docker_still_asks_for_what_was_recorded() {
    if Command::new("docker").arg("--version").output().is_err() {
        eprintln!("skipped: there is no program docker");
        return;
    }
    let listener = Listener::start();
    let mut said = String::new();
    for arguments in lines() {
        let created = Command::new("docker")
            .arg("create")
            .args(split(&arguments).unwrap())
            .args(["image", "command"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", listener.folder())
            .env("DOCKER_HOST", listener.address())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&created.stderr).into_owned();
        assert!(created.status.success(), "docker create {arguments}: {error}");
        let body = normal(listener.body());
        said.push_str(&json!({ "arguments": arguments, "body": body }).to_string());
        said.push('\n');
    }
    if std::env::var_os("HOSTLER_RECORD").is_some() {
        std::fs::write(file("recorded.jsonl"), &said).unwrap();
    }
    let recorded = std::fs::read_to_string(file("recorded.jsonl")).unwrap();
    for (said, recorded) in said.lines().zip(recorded.lines()) {
        assert_eq!(said, recorded);
    }
}
