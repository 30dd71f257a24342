//! GPUs that are simulated: the real library's interface, no card.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Place, ProcessExt as _, python_environment};

/// A simulated `libnvidia-ml.so.1` with this scenario, in the place's folder `driver`.
fn simulate(place: &Place, scenario: &str) {
    std::fs::create_dir(place.path("driver")).unwrap();
    let built = std::env::current_exe().unwrap().with_file_name("libhostler_fake_nvml.so");
    std::fs::copy(built, place.path("driver/libnvidia-ml.so.1")).unwrap();
    std::fs::write(place.path("driver/scenario"), scenario).unwrap();
}

#[test]
fn what_people_look_at_gpus_with_reads_the_simulated_driver() {
    let place = Place::new();
    simulate(
        &place,
        "cards 2 H100\n\
         set 0 utilisation=97 temperature=61 power=650 ecc_uncorrected=3 remapped_rows=2 remapping_pending=1\n\
         process 0 1 20000\n\
         instance 1 3g.40gb 4\n\
         instance 1 1g.10gb 0\n\
         process 1:1 1 100\n",
    );
    let python = python_environment("tests/gpu/requirements.txt");
    let run = |arguments: &[&str]| {
        let mut command = place.command(&python);
        command.args(arguments).env("LD_LIBRARY_PATH", place.path("driver"));
        command.finish_within(Duration::from_secs(60)).ok()
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu/read_everything.py");
    assert_eq!(run(&[script]).trim(), "done");

    let seen: Value = serde_json::from_str(&run(&["-m", "gpustat", "--json"])).unwrap();
    assert_eq!(seen["driver_version"], "580.95.05");
    let [first, second] = seen["gpus"].as_array().unwrap().as_slice() else { panic!("{seen:#}") };
    assert_eq!(first["name"], "NVIDIA H100 80GB HBM3 (simulated)");
    assert_eq!(first["utilization.gpu"], 97);
    assert_eq!(first["memory.used"], 20000);
    assert_eq!(first["processes"][0]["pid"], 1);
    assert_eq!(second["memory.used"], 100);
    assert_eq!(second["utilization.gpu"], Value::Null, "a divided card has no utilisation");
}
