//! Containers of which nothing may be left, whatever happens to them meanwhile.

use std::process::Command;
use std::time::{Duration, Instant};

use drivers::container::Engine;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::images::engines;

/// Podman finds that it ended where it wanted to kill it, and gives up.
#[test]
fn a_container_that_ends_while_it_is_removed_is_removed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    for address in engines() {
        let engine = Engine::connect(address.trim_start_matches("unix://").as_ref()).unwrap();
        for step in 0..20 {
            let program = ["run", "--detach", "--network", "host", "hostler-test/python", "sleep", "600"];
            let output = Command::new("docker").args(["--host", &address]).args(program).output().unwrap();
            assert!(output.status.success(), "{address}: {}", String::from_utf8_lossy(&output.stderr));
            let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
            let pid = Pid::from_raw(engine.state(&id).unwrap().unwrap().pid);
            let killer = std::thread::spawn(move || {
                // The removal is to be met at another of its steps each time.
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(500 * step) {
                    std::hint::spin_loop();
                }
                // It may have been removed before.
                let _ = kill(pid, Signal::SIGKILL);
            });
            let removed = engine.remove(&id);
            killer.join().unwrap();
            removed.unwrap_or_else(|error| panic!("{address}, step {step}: {error}"));
            assert!(engine.state(&id).unwrap().is_none(), "{address}: it is still there");
        }
    }
}
