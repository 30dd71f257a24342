//! Who plots a task's GPUs: the SDK where it is in the task, Hostler where it is not, never both.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Daemon, Draft, Gate, Place, Server, audit, eventually};

/// The SDK's monitor begins at once, instead of after minutes.
const PROGRAM: &str = "from clearml import Task
Task.set_resource_monitor_iteration_timeout(1, 1, 1)
task = Task.init(project_name='plots', task_name='plotted')
print('begun', flush=True)
";

#[test]
fn the_sdk_plots_the_gpus_of_its_tasks_alone() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let machine = place.path("machine");
    std::fs::write(&machine, "cards 1 H100\nset 0 utilisation=97\n").unwrap();
    let configuration = place.path("clearml-plots.conf");
    let text = std::fs::read_to_string(server.configuration_file()).unwrap();
    std::fs::write(&configuration, format!("{text}\nagent.hostler.gpu_scalars_interval: 15\n")).unwrap();
    let driver = place.path("state/simulated-driver");
    let environment = [
        ("CLEARML_CONFIG_FILE", configuration.to_str().unwrap()),
        // The SDK finds the simulated driver too.
        ("LD_LIBRARY_PATH", driver.to_str().unwrap()),
    ];
    let arguments = ["--simulate", machine.to_str().unwrap(), "--gpus", "0"];
    let daemon = Daemon::start_with(&place, &server, &arguments, &environment);
    daemon.status(&place);
    let mut gate = Gate::shut(&place.path("gate"));
    let program = format!("{PROGRAM}{}\n", gate.python());
    let task = Draft::script("plotted", &program).requirements("clearml==2.1.12").enqueue(&api);
    let variants = |metric: &str| -> BTreeSet<String> {
        let metrics = api.task(&task)["last_metrics"].clone();
        let all: Vec<Value> = metrics.as_object().into_iter().flat_map(|metrics| metrics.values().cloned()).collect();
        let variants = all.iter().filter_map(Value::as_object).flat_map(|variants| variants.values());
        let of_metric = variants.filter(|variant| variant["metric"] == metric);
        of_metric.map(|variant| variant["variant"].as_str().unwrap().to_owned()).collect()
    };
    eventually("the SDK plots the GPU", || variants(":monitor:gpu").contains("gpu_0_utilization"));
    // As soon as the daemon would plot for the first time it sees that.
    eventually("the daemon leaves it to the SDK", || {
        place.read("logs/daemon.log").contains("the SDK in the task plots its GPUs")
    });
    let plotted = variants(":monitor:gpu");
    assert!(!plotted.contains("gpu_0_power_watts"), "the daemon's own: {plotted:?}");
    assert!(!variants(":monitor:machine").is_empty());
    gate.open();
    api.ended_as(&task, "completed");
    audit(&place);
}
