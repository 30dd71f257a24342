//! One task in a container of its own.

use serde_json::json;

use super::{Bench, LIMIT};
use crate::containers::Engine;
use crate::harness::{Draft, ProcessExt as _, eventually};

#[test]
fn a_task_in_a_container_has_its_exit_code_and_leaves_none() {
    for engine in Engine::all() {
        let bench = Bench::new();
        let program = "import os\nprint('in', os.environ['FROM_IMAGE'])\nraise SystemExit(7)\n";
        let task = Draft::script("inside", program).create(&bench.api);
        bench.api.call("tasks.edit", json!({ "task": task, "container": { "image": "hostler-test/entry" } }));
        let mut command = bench.command(&task, &[engine.flag, "hostler-test/python"]);
        let done = command.env(engine.variable, &engine.address).finish_within(LIMIT);
        assert_eq!(done.code(), 7, "{done:#?}");
        assert!(done.stdout.contains("in yes"), "{}", done.stdout);
        eventually("no container is left", || {
            let ours = ["ps", "--all", "--filter", "label=hostler.attempt", "--format", "{{.Labels}}"];
            !engine.say(&ours).contains(&task)
        });
        bench.is_clean();
    }
}

#[test]
fn a_container_outlives_a_killed_process_and_is_taken_over() {
    let Some(engine) = Engine::docker() else { return };
    let bench = Bench::new();
    let mut gate = crate::harness::Gate::shut(&bench.place.path("gate"));
    let program = format!("print('begun', flush=True)\n{}\nprint('late')\nraise SystemExit(4)\n", gate.python());
    let task = Draft::script("inside", &program).create(&bench.api);
    let arguments = format!("-v {0}:{0}", bench.place.path("").display());
    let container = json!({ "image": "hostler-test/python", "arguments": arguments });
    bench.api.call("tasks.edit", json!({ "task": task, "container": container }));
    let mut first = bench.command(&task, &["--docker"]).env(engine.variable, &engine.address).spawn().unwrap();
    eventually("its first line", || bench.count(&task, "begun") == 1);
    first.kill().unwrap();
    first.wait().unwrap();
    gate.open();
    let mut again = bench.command(&task, &["--docker"]);
    let done = again.env(engine.variable, &engine.address).finish_within(LIMIT);
    assert_eq!(done.code(), 4, "{done:#?}");
    assert_eq!((bench.count(&task, "begun"), bench.count(&task, "late")), (1, 1));
    bench.is_clean();
}
