//! What the arguments of one task mean for its own container and its environment, and not for those of others.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::interpreters::Downloads;
use super::{Engine, Farm, unique};
use crate::harness::{Draft, audit, eventually};

/// The interpreter of `scripts/containers`, unpacked in a place: it finds everything from where it is.
fn interpreter(farm: &Farm) -> PathBuf {
    let archive = std::env::var("HOSTLER_TEST_INTERPRETER").expect("`scripts/containers start` prints it");
    let unpacked = Command::new("tar").args(["-xzf", &archive, "-C"]).arg(farm.place.path("")).status().unwrap();
    assert!(unpacked.success());
    farm.place.path("python")
}

/// The same image, with a Python that one task mounts and another does not.
#[test]
fn a_python_that_a_task_mounts_is_its_own() {
    let nothing = Downloads::none();
    for engine in Engine::all() {
        let farm = Farm::start_with(&engine, &["--workers", "1"], &[(Downloads::VARIABLE, &nothing.list())]);
        let mounted = format!("-v {}:/opt/python:ro", interpreter(&farm).display());
        let draft = Draft::script("mounted", "import sys\nprint('from', sys.base_prefix)");
        for (arguments, is_there) in [("", false), (mounted.as_str(), true), ("", false), (mounted.as_str(), true)] {
            let task = farm.enqueue(&draft, json!({ "image": "hostler-test/plain", "arguments": arguments }));
            if is_there {
                farm.api.ended_as(&task, "completed");
                assert!(farm.api.console(&task).contains("from /opt/python"), "{}", farm.api.console(&task));
            } else {
                let reason = farm.failure(&task);
                assert!(reason.contains("environment failure") && reason.contains("no Python"), "{reason}");
            }
        }
        farm.is_clean();
    }
}

/// What the agent mounts by itself gives way to what a task mounts at the same place.
#[test]
fn what_a_task_mounts_goes_before_what_the_agent_mounts() {
    for engine in Engine::all() {
        let bundle = "/etc/hostler-test-bundle.pem";
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let own = farm.place.path("own");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("bundle.pem"), "of the task").unwrap();
        let own = own.display();
        let arguments = format!("-v {own}:/root/.cache/pip -v {own}:/root/.clearml -v {own}/bundle.pem:{bundle}");
        let program = format!("import os\nprint(sorted(os.listdir('/root/.cache/pip')), open('{bundle}').read())");
        let container = json!({
            "image": "hostler-test/python", "arguments": arguments, "setup_shell_script": "touch /root/.cache/pip/mine"
        });
        let task = farm.enqueue(&Draft::script("mounts", &program), container);
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(console.contains("['bundle.pem', 'mine'] of the task"), "{console}");
        farm.is_clean();
        audit(&farm.place);
    }
}

/// A network of the test's own.
struct OwnNetwork<'a> {
    engine: &'a Engine,
    name: String,
}

impl<'a> OwnNetwork<'a> {
    /// `None` where the engine cannot make one, which is said.
    fn make(engine: &'a Engine, subnet: &str) -> Option<Self> {
        let name = unique("hostler-network");
        let made = engine.call(&["network", "create", "--subnet", subnet, &name]);
        if !made.status.success() {
            eprintln!("skipped: {}: {}", engine.flag, String::from_utf8_lossy(&made.stderr));
            return None;
        }
        Some(Self { engine, name })
    }
}

impl Drop for OwnNetwork<'_> {
    fn drop(&mut self) {
        self.engine.call(&["network", "rm", "--force", &self.name]);
    }
}

/// The container in which packages are installed lives on beside the task's own, and must not have its address.
#[test]
fn an_address_is_that_of_the_tasks_container_alone() {
    let Some(engine) = Engine::docker() else { return };
    let Some(network) = OwnNetwork::make(&engine, "10.213.87.0/24") else { return };
    let farm = Farm::start(&engine, &["--workers", "1", "--warm-containers", "1"]);
    let name = &network.name;
    for (number, arguments) in [
        format!("--network {name} --ip 10.213.87.5 --network-alias me"),
        format!("--network name={name},ip=10.213.87.5,alias=me"),
    ]
    .into_iter()
    .enumerate()
    {
        let program = "print('addresses', open('/proc/net/fib_trie').read().count('10.213.87.5\\n'))";
        let draft = Draft::script("address", program).requirements(["six==1.16.0", "six==1.15.0"][number]);
        let task = farm.enqueue(&draft, json!({ "image": "hostler-test/python", "arguments": arguments }));
        farm.api.ended_as(&task, "completed");
        assert!(!farm.api.console(&task).contains("addresses 0"), "{}", farm.api.console(&task));
        // It would keep the address from the next one.
        eventually("no container is left", || farm.engine.containers(&farm.place).is_empty());
    }
    farm.is_clean();
    audit(&farm.place);
}

/// Docker is sent the text of the profile, Podman is told where it is.
#[test]
fn a_profile_of_seccomp_is_a_file_of_this_machine() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let (file, wrong) = (farm.place.path("profile.json"), farm.place.path("wrong.json"));
        let rule = json!({ "names": ["mknod", "mknodat"], "action": "SCMP_ACT_ERRNO" });
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        std::fs::write(&file, profile.to_string()).unwrap();
        std::fs::write(&wrong, "{ no profile").unwrap();
        let program =
            "import os\ntry:\n    os.mkfifo('pipe')\n    print('made')\nexcept OSError as error:\n    print(error)";
        let draft = Draft::script("profile", program);
        let container = |file: &std::path::Path| json!({ "image": "hostler-test/python", "arguments": format!("--security-opt seccomp={}", file.display()) });
        let task = farm.enqueue(&draft, container(&file));
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(console.contains("Operation not permitted") && !console.contains("made"), "{console}");
        let reason = farm.failure(&farm.enqueue(&draft, container(&wrong)));
        assert!(reason.starts_with("environment failure") && reason.contains("profile"), "{reason}");
        farm.is_clean();
    }
}
