//! The unmodified SDK against the server binary: one scenario per test, each a script of `tests/sdk`.

use crate::harness::{Place, Server, run_scenario};

#[track_caller]
fn check(scenario: &str) {
    let place = Place::new();
    let server = Server::start(&place);
    let finished = run_scenario(&place, &server, scenario, &[]);
    assert!(finished.status.success(), "--- stdout\n{}\n--- stderr\n{}", finished.stdout, finished.stderr);
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
    };
}

scenarios! {
    training
    api_client
    exception
    repository
    clone_and_enqueue
    execute_remotely
    wait
    stop_reset_delete
    reports
    outputs
    manage
    datasets
    offline
    stall
}
