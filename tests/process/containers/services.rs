//! Services in containers.

use serde_json::json;

use super::{Engine, Farm};
use crate::harness::{Draft, Gate, audit, eventually};

#[test]
fn services_in_containers_outlive_their_daemon_and_the_limit_holds() {
    for engine in Engine::all() {
        let arguments = ["--services-mode", "3"];
        let mut farm = Farm::start(&engine, &arguments);
        let mut gate = Gate::shut(&farm.place.path("gate"));
        let program = format!(
            "import os\n\
             print('worker', os.environ['CLEARML_WORKER_ID'], os.environ['CLEARML_AGENT_SERVICE_TASK'], flush=True)\n\
             {}\nprint('late', flush=True)\n",
            gate.python()
        );
        let place = farm.place.path("");
        let container = json!({ "image": "hostler-test/python", "arguments": format!("-v {0}:{0}", place.display()) });
        let draft = Draft::script("service", &program);
        let tasks: Vec<String> = (0..4).map(|_| farm.enqueue(&draft, container.clone())).collect();
        for task in &tasks[..3] {
            eventually("a service that runs", || !farm.api.console_lines(task, "worker").is_empty());
            let line = farm.api.console_lines(task, "worker").remove(0);
            assert!(line.ends_with(&format!(":service:{task} 1")), "{line}");
        }
        let ids = || tasks[..3].iter().map(|task| farm.engine.container_of(&farm.place, task).unwrap()["Id"].clone());
        let before: Vec<_> = ids().collect();
        farm.daemon.kill();
        farm.again(&arguments);
        eventually("services that are taken over", || {
            farm.daemon.status(&farm.place).tasks.iter().filter(|task| task.attached).count() == 3
        });
        let ids = || tasks[..3].iter().map(|task| farm.engine.container_of(&farm.place, task).unwrap()["Id"].clone());
        assert_eq!(ids().collect::<Vec<_>>(), before, "the same containers");
        assert_eq!(farm.api.status(&tasks[3]), "queued");
        farm.api.call("tasks.stop", json!({ "task": tasks[0] }));
        farm.api.ended_as(&tasks[0], "stopped");
        eventually("the next service", || !farm.api.console_lines(&tasks[3], "worker").is_empty());
        gate.open();
        for task in &tasks[1..] {
            farm.api.ended_as(task, "completed");
            assert_eq!(farm.api.console_lines(task, "late").len(), 1);
        }
        farm.is_clean();
        audit(&farm.place);
    }
}
