//! The environment of a task is built while its code is fetched, where the task's own lines say all of it.

use serde_json::json;

use crate::harness::{Draft, Gate, Place, base_python, eventually, eventually_some, is_alive, slow_source_package};

use super::row::Table;

/// Pids that programs of a test have written into a file.
fn pids(place: &Place, file: &str) -> Vec<i32> {
    place.lines(file).iter().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn a_checkout_that_fails_ends_the_build_beside_it_and_so_does_an_abort() {
    let place = Place::new();
    std::fs::create_dir(place.path("packages")).unwrap();
    let build = Gate::shut(&place.path("build"));
    let mut fetch = Gate::shut(&place.path("fetch"));
    let requirement = slow_source_package(&place, &build);
    let ssh = place.path("ssh.py");
    let program = format!(
        "import os\nopen({:?}, 'a').write('%d\\n' % os.getpid())\n{}\nraise SystemExit(1)\n",
        place.path("fetching"),
        fetch.python()
    );
    std::fs::write(&ssh, program).unwrap();
    let (ssh, packages) =
        (format!("{} {}", base_python(), ssh.display()), place.path("packages").display().to_string());
    let table = Table::start(place, &[("GIT_SSH_COMMAND", &ssh), ("UV_FIND_LINKS", &packages)]);
    let (api, place) = (&table.api, table.place());
    let draft = Draft::repository("beside", "ssh://git@code.example/code.git", "train.py").requirements(requirement);

    let aborted = draft.enqueue(api);
    let fetching = eventually_some("its code is fetched", || pids(place, "fetching").pop());
    let building = eventually_some("its environment is built", || pids(place, "building").pop());
    assert!(is_alive(fetching) && is_alive(building));
    api.call("tasks.stop", json!({ "task": aborted }));
    api.ended_as(&aborted, "stopped");
    eventually("nothing goes on", || !is_alive(fetching) && !is_alive(building));

    let fails = draft.enqueue(api);
    eventually("its code is fetched", || pids(place, "fetching").last().is_some_and(|pid| is_alive(*pid)));
    eventually("its environment is built", || pids(place, "building").last().is_some_and(|pid| is_alive(*pid)));
    fetch.open();
    let reason = api.ended_as(&fails, "failed")["status_reason"].clone();
    assert!(reason.as_str().unwrap().contains("ssh://git@code.example/code.git"), "{reason}");
    eventually("nothing is built any more", || pids(place, "building").iter().all(|pid| !is_alive(*pid)));
    table.finish();
}
