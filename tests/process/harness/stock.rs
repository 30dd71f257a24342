//! The stock agent's daemon, from its own distribution.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;

use super::{Api, Place, Server, eventually_some, python_environment};

/// A running `clearml-agent daemon`; it ends with its test.
#[derive(Debug)]
pub(crate) struct StockAgent(Child);

impl StockAgent {
    /// Starts one for a server; its output goes to `logs/stock.log`.
    pub(crate) fn start(place: &Place, server: &Server, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let python = python_environment("benches/requirements.txt");
        let log = File::create(place.path("logs/stock.log")).unwrap();
        // Stock agents of one machine find each other, and count their services, by files in the temporary directory.
        let temporary = place.path("temporary");
        std::fs::create_dir(&temporary).unwrap();
        let child = place
            .command(Path::new(&python).with_file_name("clearml-agent"))
            .args(["daemon", "--foreground"])
            .args(arguments)
            .env("CLEARML_CONFIG_FILE", server.configuration_file())
            .env("TMPDIR", temporary)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits for its first heartbeat, which comes after its first look at the queues; gives its worker's id.
    pub(crate) fn worker(api: &Api) -> String {
        eventually_some("the first heartbeat of the stock agent", || {
            let workers = api.call("workers.get_all", json!({}))["workers"].clone();
            let worker = workers.as_array()?.iter().find(|worker| worker["last_report_time"].is_string())?.clone();
            worker["id"].as_str().map(str::to_owned)
        })
    }

    /// A runtime property of a worker, as the agent set it.
    pub(crate) fn property(api: &Api, worker: &str, key: &str) -> Option<String> {
        let found = api.call("workers.get_runtime_properties", json!({ "worker": worker }));
        let properties = found["runtime_properties"].as_array()?;
        let property = properties.iter().find(|property| property["key"] == key)?;
        property["value"].as_str().map(str::to_owned)
    }
}

impl Drop for StockAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
