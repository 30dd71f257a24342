//! How engines hand GPUs to containers, for real, with cards that are none: a simulated driver, and devices that stand
//! in for cards.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Resource;
use serde_json::{Value, json};

use super::own_engine::OwnEngine;
use super::{Engine, Farm, GPU_LIBRARY, unique};
use crate::gpus::simulate;
use crate::harness::{Draft, Gate, Place, audit, eventually};

/// Dockers that know CDI, where the tests were given some.
fn with_cdi() -> Vec<PathBuf> {
    let given = std::env::var("HOSTLER_TEST_DOCKERDS").unwrap_or_default();
    let found: Vec<PathBuf> = given.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    if found.is_empty() {
        eprintln!("skipped: no dockerd that knows CDI: eval what `scripts/containers start` prints");
    }
    found
}

/// A machine with two cards, whose UUIDs no other test uses.
struct Cards {
    place: Place,
    uuids: [String; 2],
}

impl Cards {
    fn new(engine: &Engine) -> Self {
        let place = engine.user.map_or_else(Place::new, Place::of);
        let uuids = [unique("GPU-first"), unique("GPU-second")];
        simulate(&place, &format!("card H100 uuid={}\ncard H100 uuid={}\n", uuids[0], uuids[1]));
        Self { place, uuids }
    }

    fn farm(self, engine: &Engine, arguments: &[&str]) -> (Farm, [String; 2]) {
        let library = self.place.path("driver/libnvidia-ml.so.1");
        let farm = Farm::in_place(self.place, engine, arguments, &[(GPU_LIBRARY, library.to_str().unwrap())]);
        (farm, self.uuids)
    }
}

/// What `nvidia-ctk cdi generate` writes, as far as an engine looks at it; a card is `/dev/null`.
fn specification(names: &[(&str, &[&str])]) -> Value {
    let device = |(name, cards): &(&str, &[&str])| {
        let nodes: Vec<Value> =
            cards.iter().map(|card| json!({ "path": format!("/dev/nvidia{card}"), "hostPath": "/dev/null" })).collect();
        let seen: Vec<String> = cards.iter().map(|card| format!("SEEN_{card}=yes")).collect();
        json!({ "name": name, "containerEdits": { "deviceNodes": nodes, "env": seen } })
    };
    let mount = json!({ "hostPath": "/etc/hostname", "containerPath": "/opt/driver", "options": ["ro", "bind"] });
    json!({
        "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
        "devices": names.iter().map(device).collect::<Vec<_>>(),
        "containerEdits": { "env": ["NVIDIA_VISIBLE_DEVICES=void"], "mounts": [mount] },
    })
}

/// Prints what a program sees of cards. By the shell: Python would be given an environment first.
const LOOK: &str = "nodes=$(cd /dev; ls -d nvidia* 2>/dev/null)\n\
    edits=$(env | sed -n 's/^\\(SEEN_.\\)=.*/\\1/p' | sort)\n\
    [ -e /opt/driver ] && driver=driver\n\
    echo nodes $nodes edits $edits $driver end\n\
    echo visible $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES\n";

/// A task that does this.
fn script(text: &str) -> Draft {
    Draft::script("look", text).with("binary", "/bin/sh").with("entry_point", "look.sh")
}

/// One that waits at a gate in the end, of a container that sees it.
fn at_gate(gate: &Gate) -> Draft {
    script(&format!("{LOOK}exec python3 -c \"{}\"\n", gate.python().replace('"', "'")))
}

/// What its program saw of these cards.
fn seen(cards: &[u32]) -> String {
    let list = |prefix: &str| cards.iter().map(|card| format!("{prefix}{card} ")).collect::<String>();
    format!("nodes {}edits {}{}end", list("nvidia"), list("SEEN_"), if cards.is_empty() { "" } else { "driver " })
}

fn look(farm: &Farm, container: Value) -> String {
    let task = farm.enqueue(&script(LOOK), container);
    farm.api.ended_as(&task, "completed");
    farm.api.console(&task)
}

/// An engine with a specification that names both cards in every way, for UUIDs that are known beforehand.
fn specify(folder: &Path, uuids: &[String; 2]) {
    let names: [(&str, &[&str]); 5] =
        [("0", &["0"]), (&uuids[0], &["0"]), ("1", &["1"]), (&uuids[1], &["1"]), ("all", &["0", "1"])];
    std::fs::write(folder.join("nvidia.json"), specification(&names).to_string()).unwrap();
}

/// A Docker that looks for specifications in a folder.
fn docker_with_cdi(program: &Path, shared: &Engine, folder: &Path) -> Option<OwnEngine> {
    let settings = json!({ "features": { "cdi": true }, "cdi-spec-dirs": [folder] });
    std::fs::write(folder.join("daemon.settings"), settings.to_string()).unwrap();
    let file = folder.join("daemon.settings");
    OwnEngine::of(program, shared, &["--experimental", "--config-file", file.to_str().unwrap()], None)
}

#[test]
fn a_container_gets_the_cards_of_its_lease_by_cdi_and_no_others() {
    let Some(shared) = Engine::docker() else { return };
    for program in with_cdi() {
        let folder = tempfile::tempdir().unwrap();
        let Some(own) = docker_with_cdi(&program, &shared, folder.path()) else { return };
        let engine = &own.engine;

        let cards = Cards::new(engine);
        specify(folder.path(), &cards.uuids);
        let (farm, uuids) = cards.farm(engine, &["--gpus", "0", "--gpus", "1"]);
        let mut gate = Gate::shut(&farm.place.path("gate"));
        let arguments = format!("-v {0}:{0} -e NVIDIA_VISIBLE_DEVICES=all", farm.place.path("").display());
        let container = json!({ "image": "hostler-test/python", "arguments": arguments });
        let tasks = [(); 2].map(|()| farm.enqueue(&at_gate(&gate), container.clone()));
        tasks.iter().for_each(|task| {
            eventually("two tasks at their gate", || farm.api.console(task).contains("visible"));
        });
        gate.open();
        let mut both = tasks.map(|task| {
            farm.api.ended_as(&task, "completed");
            farm.api.console(&task)
        });
        both.sort_by_key(|console| console.contains("nvidia1"));
        for (card, console) in [0, 1].into_iter().zip(&both) {
            let uuid = &uuids[card as usize];
            assert!(console.contains(&seen(&[card])), "{console}");
            assert!(console.contains(&format!("visible {uuid} {uuid}")), "{console}");
        }
        farm.is_clean();
        audit(&farm.place);
        drop(farm);

        for (arguments, expected) in [
            (["--gpus", "1", "--warm-containers", "1"].as_slice(), [1].as_slice()),
            (&["--gpus", "all"], &[0, 1]),
            // It was not said which: all, as without a container.
            (&[], &[0, 1]),
            (&["--dynamic-gpus", "--gpus", "0,1", "--queue", "default=0.5"], &[0]),
            (&["--gpus", "none"], &[]),
        ] {
            let cards = Cards::new(engine);
            specify(folder.path(), &cards.uuids);
            let (mut farm, _) = cards.farm(engine, arguments);
            let greedy = json!({ "image": "hostler-test/python", "arguments":
                "-e NVIDIA_VISIBLE_DEVICES=all --device nvidia.com/gpu=all" });
            let console = look(&farm, greedy.clone());
            assert!(console.contains(&seen(expected)), "{}: {arguments:?}: {console}", program.display());
            if arguments.contains(&"--warm-containers") {
                let idle = farm.place.path("state/warm/idle");
                eventually("a container that idles", || idle.read_dir().is_ok_and(|mut all| all.next().is_some()));
                let console = look(&farm, greedy);
                assert!(console.contains("started before is used") && console.contains(&seen(expected)), "{console}");
                farm.daemon.terminate();
            }
            farm.is_clean();
        }
    }
}

#[test]
fn a_card_that_no_specification_names_is_an_error_that_says_what_to_do() {
    let Some(shared) = Engine::docker() else { return };
    for program in with_cdi() {
        let folder = tempfile::tempdir().unwrap();
        let Some(own) = docker_with_cdi(&program, &shared, folder.path()) else { return };
        let by_index: [(&str, &[&str]); 3] = [("0", &["0"]), ("1", &["1"]), ("all", &["0", "1"])];
        std::fs::write(folder.path().join("nvidia.json"), specification(&by_index).to_string()).unwrap();
        let (farm, _) = Cards::new(&own.engine).farm(&own.engine, &["--gpus", "1"]);
        let task = farm.enqueue(&script(LOOK), json!({ "image": "hostler-test/python" }));
        let reason = farm.failure(&task);
        let knows_what_it_found = own.engine.say(&["version", "--format", "{{.Server.Version}}"]).as_str() >= "28";
        let advice = if knows_what_it_found { "nvidia-ctk cdi generate" } else { "NVIDIA Container Toolkit" };
        assert!(reason.starts_with("infrastructure failure") && reason.contains(advice), "{reason}");
        farm.is_clean();
    }
}

#[test]
fn an_engine_without_a_way_to_give_cards_is_said_to_be_so() {
    for engine in Engine::all() {
        let (farm, _) = Cards::new(&engine).farm(&engine, &["--gpus", "0"]);
        let task = farm.enqueue(&script(LOOK), json!({ "image": "hostler-test/python" }));
        let reason = farm.failure(&task);
        assert!(reason.starts_with("infrastructure failure while starting"), "{reason}");
        let expected = if engine.flag == "--docker" { "install the NVIDIA Container Toolkit" } else { "Podman" };
        assert!(reason.contains("none of its GPUs") || reason.contains("does not give the task its GPUs"), "{reason}");
        assert!(reason.contains(expected), "{reason}");
        assert!(!farm.api.console(&task).contains("visible"), "{}", farm.api.console(&task));
        farm.is_clean();
        audit(&farm.place);
    }
}

/// Puts a stand-in for NVIDIA's hook into a folder: it writes down what it was given, gives a container the devices that
/// `cards` names, and fails where `broken` is there.
fn hook(folder: &Path) {
    let script = format!(
        "#!/usr/bin/python3\n\
         import json, os, subprocess, sys\n\
         here = {folder:?}\n\
         state = json.load(sys.stdin)\n\
         config = json.load(open(os.path.join(state['bundle'], 'config.json')))\n\
         given = dict(line.split('=', 1) for line in config['process']['env'] if '=' in line)\n\
         given = {{name: value for name, value in given.items() if name.startswith('NVIDIA_')}}\n\
         with open(here + '/given', 'a') as log: log.write(json.dumps([sys.argv[1:], given]) + '\\n')\n\
         if os.path.exists(here + '/broken'): sys.exit('nvidia-container-cli: device error: unknown device')\n\
         cards = open(here + '/cards').read().split() if os.path.exists(here + '/cards') else []\n\
         inside = ['/usr/bin/nsenter', '--target', str(state['pid']), '--mount', '/bin/mknod']\n\
         root = os.path.join(state['bundle'], config['root']['path'])\n\
         for card in cards: subprocess.run(inside + [f'{{root}}/dev/{{card}}', 'c', '1', '3'], check=True, env={{}})\n"
    );
    let path = folder.join("nvidia-container-runtime-hook");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the hook was given last.
fn given(folder: &Path) -> Value {
    let all = std::fs::read_to_string(folder.join("given")).unwrap();
    serde_json::from_str(all.lines().last().unwrap()).unwrap()
}

/// A Podman of its own that has the hook, as those before 5.5 are given cards.
struct PodmanWithHook {
    child: Child,
    folder: tempfile::TempDir,
    engine: Engine,
}

impl PodmanWithHook {
    fn start(shared: &Engine, hook: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: an engine of its own can be started by root only");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hostler-podman-").tempdir().unwrap();
        let hooks = folder.path().join("hooks");
        std::fs::create_dir(&hooks).unwrap();
        let path = hook.join("nvidia-container-runtime-hook");
        let hook = json!({
            "version": "1.0.0", "when": { "always": true }, "stages": ["prestart"],
            "hook": { "path": path, "args": ["nvidia-container-runtime-hook", "prestart"] },
        });
        std::fs::write(hooks.join("oci-nvidia-hook.json"), hook.to_string()).unwrap();
        let [files, processes] = [Resource::Nofile, Resource::Nproc].map(|kind| {
            // A container may not have more than whoever starts it.
            let most = rustix::process::getrlimit(kind).maximum.unwrap_or(u64::MAX).min(16384);
            format!("{most}:{most}")
        });
        let settings = "[containers]\nnetns = \"host\"\nlog_driver = \"k8s-file\"\n\
                        default_ulimits = [\"nofile=FILES\", \"nproc=PROCESSES\"]\n\
                        [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
        let settings = settings.replace("FILES", &files).replace("PROCESSES", &processes);
        std::fs::write(folder.path().join("settings"), settings).unwrap();
        let address = format!("unix://{}", folder.path().join("socket").display());
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new("podman")
            .arg("--root")
            .arg(folder.path().join("root"))
            .arg("--runroot")
            .arg(folder.path().join("run"))
            .arg("--hooks-dir")
            .arg(&hooks)
            .args(["system", "service", "--time=0", &address])
            .env("CONTAINERS_CONF", folder.path().join("settings"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self { child, folder, engine: Engine { address, ..shared.clone() } };
        eventually("an engine that answers", || this.engine.call(&["version"]).status.success());
        this.engine.take_image(shared);
        Some(this)
    }
}

impl Drop for PodmanWithHook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for place in ["root/overlay", "root"] {
            let _ = Command::new("umount").arg("--quiet").arg(self.folder.path().join(place)).status();
        }
    }
}

#[test]
fn an_older_podman_gives_what_its_hook_gives_and_it_is_seen_when_that_is_nothing() {
    let Some(shared) = Engine::all().into_iter().find(|engine| engine.flag == "--podman") else { return };
    let programs = tempfile::tempdir().unwrap();
    hook(programs.path());
    let Some(own) = PodmanWithHook::start(&shared, programs.path()) else { return };
    let (farm, uuids) = Cards::new(&own.engine).farm(&own.engine, &["--gpus", "1"]);
    let container = json!({ "image": "hostler-test/python", "arguments": "-e NVIDIA_VISIBLE_DEVICES=all" });
    std::fs::write(programs.path().join("cards"), "nvidia1 nvidiactl").unwrap();
    let console = look(&farm, container.clone());
    assert!(console.contains("nodes nvidia1 nvidiactl edits end"), "{console}");
    assert_eq!(given(programs.path())[1]["NVIDIA_VISIBLE_DEVICES"], uuids[1]);
    std::fs::remove_file(programs.path().join("cards")).unwrap();
    let task = farm.enqueue(&script(LOOK), container);
    let reason = farm.failure(&task);
    assert!(reason.starts_with("infrastructure failure") && reason.contains("none of its GPUs"), "{reason}");
    farm.is_clean();
}

#[test]
fn an_engine_with_the_toolkit_is_asked_for_the_cards_of_the_lease_by_their_uuids() {
    let Some(shared) = Engine::docker() else { return };
    let programs = tempfile::tempdir().unwrap();
    hook(programs.path());
    let dockerds = with_cdi().pop().into_iter().chain([PathBuf::from("dockerd")]);
    for program in dockerds {
        let Some(own) = OwnEngine::of(&program, &shared, &[], Some(programs.path())) else { return };
        let (farm, uuids) = Cards::new(&own.engine).farm(&own.engine, &["--gpus", "1"]);
        let container = |arguments: &str| json!({ "image": "hostler-test/python", "arguments": format!("-e NVIDIA_VISIBLE_DEVICES=all {arguments}") });
        let console = look(&farm, container(""));
        let uuid = &uuids[1];
        assert!(console.contains(&format!("visible {uuid} {uuid}")), "{console}");
        assert_eq!(given(programs.path()), json!([["prestart"], { "NVIDIA_VISIBLE_DEVICES": uuid }]));

        look(&farm, container("--gpus '\"device=0\",\"capabilities=compute,video\"'"));
        let asked = given(programs.path());
        assert_eq!(asked[1]["NVIDIA_VISIBLE_DEVICES"], *uuid);
        let capabilities = asked[1]["NVIDIA_DRIVER_CAPABILITIES"].as_str().unwrap();
        let mut capabilities: Vec<&str> = capabilities.split(',').collect();
        capabilities.sort_unstable();
        assert_eq!(capabilities, ["compute", "video"]);

        std::fs::write(programs.path().join("broken"), "").unwrap();
        let task = farm.enqueue(&script(LOOK), container(""));
        let reason = farm.failure(&task);
        std::fs::remove_file(programs.path().join("broken")).unwrap();
        assert!(reason.starts_with("infrastructure failure") && reason.contains("unknown device"), "{reason}");
        farm.is_clean();
        drop(farm);

        // One that is told not to ask, and one that may have no card.
        for (arguments, skips, expected) in [(["--gpus", "1"], true, None), (["--gpus", "none"], false, Some("void"))] {
            let before = std::fs::read_to_string(programs.path().join("given")).unwrap();
            let cards = Cards::new(&own.engine);
            let library = cards.place.path("driver/libnvidia-ml.so.1");
            let mut environment = vec![(GPU_LIBRARY, library.to_str().unwrap())];
            environment.extend(skips.then_some(("CLEARML_DOCKER_SKIP_GPUS_FLAG", "1")));
            let mut gate = Gate::shut(&cards.place.path("gate"));
            let arguments_of_task = format!("-v {0}:{0} -e NVIDIA_VISIBLE_DEVICES=all", cards.place.path("").display());
            let expected = expected.unwrap_or(&cards.uuids[1]).to_owned();
            let farm = Farm::in_place(cards.place, &own.engine, &arguments, &environment);
            let container = json!({ "image": "hostler-test/python", "arguments": arguments_of_task });
            let task = farm.enqueue(&at_gate(&gate), container);
            eventually("a task at its gate", || farm.api.console(&task).contains("visible"));
            let config = farm.engine.container_of(&farm.place, &task).unwrap();
            let variables = config["Config"]["Env"].as_array().unwrap();
            assert!(variables.contains(&json!(format!("NVIDIA_VISIBLE_DEVICES={expected}"))), "{variables:?}");
            assert_eq!(config["HostConfig"]["DeviceRequests"], Value::Null);
            gate.open();
            farm.api.ended_as(&task, "completed");
            assert_eq!(
                std::fs::read_to_string(programs.path().join("given")).unwrap(),
                before,
                "nothing was asked for"
            );
        }
    }
}
