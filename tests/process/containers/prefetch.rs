//! Images and environments of tasks that wait for their container.

use protocols::control::PrefetchStatus;
use serde_json::{Value, json};

use super::{Engine, Farm};
use crate::harness::{
    Daemon, Draft, Gate, Place, Server, audit, eventually, eventually_some, kill, slow_source_package,
};
use crate::prefetch::{own_niceness, preparer};

const ARGUMENTS: [&str; 3] = ["--workers", "1", "--prefetch"];

/// A farm whose only worker has a task that ends when the gate opens.
struct Busy {
    farm: Farm,
    gate: Gate,
    holder: String,
}

impl Busy {
    fn start(engine: &Engine) -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("packages")).unwrap();
        let server = Server::start(&place);
        let (api, daemon) = (server.api(), Self::daemon(engine, &place, &server));
        let farm = Farm { engine: engine.clone(), place, server, api, daemon };
        let gate = Gate::shut(&farm.place.path("gate"));
        let program = format!("print('UP', flush=True)\n{}\n", gate.python());
        let holder = farm.enqueue(&Draft::script("holder", &program), container(&farm));
        eventually("the holder runs", || !farm.api.console_lines(&holder, "UP").is_empty());
        Self { farm, gate, holder }
    }

    /// A daemon whose packages are also those of a folder.
    fn daemon(engine: &Engine, place: &Place, server: &Server) -> Daemon {
        let packages = place.path("packages").display().to_string();
        Farm::daemon(engine, place, server, &ARGUMENTS, &[("UV_FIND_LINKS", packages.as_str())])
    }

    /// A daemon on the state of the one before.
    fn again(&mut self) {
        self.farm.daemon = Self::daemon(&self.farm.engine, &self.farm.place, &self.farm.server);
    }

    fn prefetch(&self) -> PrefetchStatus {
        self.farm.daemon.status(&self.farm.place).prefetch.unwrap_or_default()
    }

    /// The container in which an environment is built ahead, once there is one.
    fn builder(&self) -> Value {
        let Farm { engine, place, .. } = &self.farm;
        eventually_some("a container of a preparation", || {
            let id = engine.containers_ahead(place).pop()?;
            let inspected: Value = serde_json::from_slice(&engine.call(&["inspect", &id]).stdout).ok()?;
            (inspected[0]["State"]["Running"] == true).then(|| inspected[0].clone())
        })
    }

    fn nothing_is_left_ahead(&self) {
        eventually("no container of a preparation", || self.farm.engine.containers_ahead(&self.farm.place).is_empty());
    }
}

fn container(farm: &Farm) -> Value {
    json!({ "image": "hostler-test/python", "arguments": format!("-v {0}:{0}", farm.place.path("").display()) })
}

fn niceness(container: &Value) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", container["State"]["Pid"])).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
fn the_environment_of_an_image_is_there_when_the_turn_comes() {
    for engine in Engine::all() {
        let mut busy = Busy::start(&engine);
        let farm = &busy.farm;
        let program = "import six\nprint('GOT', six.__version__)";
        let task = farm.enqueue(&Draft::script("waits", program).requirements("six==1.17.0"), container(farm));
        let nowhere = json!({ "image": "hostler-test/nowhere", "arguments": "--pull never" });
        let lacks = farm.enqueue(&Draft::script("lacks", program), nowhere);
        eventually("both were looked at", || {
            let prefetch = busy.prefetch();
            prefetch.ready.contains(&task.as_str().into()) && prefetch.failed.contains_key(&lacks.as_str().into())
        });
        busy.nothing_is_left_ahead();
        assert_eq!(farm.api.console(&task), "");
        busy.gate.open();
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(console.contains("GOT 1.17.0") && console.contains(", reused"), "{console}");
        assert!(!console.contains("building an environment"), "{console}");
        assert!(farm.failure(&lacks).contains("image failure"));
        farm.api.ended_as(&busy.holder, "completed");
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn a_preparation_in_a_container_gives_way_and_leaves_nothing() {
    for engine in Engine::all() {
        let mut busy = Busy::start(&engine);
        let mut build = Gate::shut(&busy.farm.place.path("build"));
        let requirement = slow_source_package(&busy.farm.place, &build);
        let draft = Draft::script("slow", "import slow_package\nprint('GOT')").requirements(requirement);
        let task = busy.farm.enqueue(&draft, container(&busy.farm));
        let builds = |busy: &Busy| busy.farm.place.lines("building").len();
        eventually("it is built ahead", || builds(&busy) == 1);
        let first = busy.builder();
        assert_eq!(niceness(&first), (own_niceness() + 19).min(19));
        assert_eq!(first["HostConfig"]["DeviceRequests"].as_array().map_or(0, Vec::len), 0);

        // Its process is killed: the daemon removes what it has left.
        kill(eventually_some("its preparer", || preparer(&busy.farm.place)));
        eventually("the daemon sees it", || busy.prefetch().failed.contains_key(&task.as_str().into()));
        busy.nothing_is_left_ahead();

        // The daemon is killed: what it has left removes itself.
        busy.farm.daemon.kill();
        busy.again();
        eventually("it is built ahead again", || builds(&busy) == 2);
        busy.builder();
        busy.farm.daemon.kill();
        busy.nothing_is_left_ahead();
        eventually("its preparer is gone", || preparer(&busy.farm.place).is_none());

        // Both are killed: the next daemon removes it.
        busy.again();
        eventually("it is built ahead once more", || builds(&busy) == 3);
        let left = busy.builder()["Id"].clone();
        let preparer = eventually_some("its preparer", || preparer(&busy.farm.place));
        busy.farm.daemon.kill();
        kill(preparer);
        busy.again();
        eventually("a new preparation", || builds(&busy) == 4);
        assert_ne!(busy.builder()["Id"], left);
        assert_eq!(engine.containers_ahead(&busy.farm.place).len(), 1);

        // Its turn comes: nobody waits for the preparation.
        busy.gate.open();
        eventually("it is built for the task itself", || builds(&busy) == 5);
        busy.nothing_is_left_ahead();
        build.open();
        busy.farm.api.ended_as(&task, "completed");
        assert_eq!(busy.farm.api.console_lines(&task, "GOT").len(), 1);
        busy.farm.api.ended_as(&busy.holder, "completed");
        busy.farm.is_clean();
        audit(&busy.farm.place);
    }
}
