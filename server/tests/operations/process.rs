//! The server as a process of its own: this test program, started again.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use server::{Server, ServerConfig};

/// Where the child keeps its data; only a child has it.
const DATA_DIR: &str = "HOSTLER_DURABILITY_DATA_DIR";

/// What the child says when it answers.
const READY: &str = "ready";

/// A server process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    data_dir: PathBuf,
    pub(crate) api_url: String,
    pub(crate) files_url: String,
    /// Told by the first start in a directory.
    pub(crate) credentials: Option<(String, String)>,
}

impl ServerProcess {
    /// Starts one and waits until it answers.
    pub(crate) fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::serve", "--ignored", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with(READY)).expect("the server starts");
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let credentials = (words.len() == 5).then(|| (words[3].clone(), words[4].clone()));
        Self {
            child,
            data_dir: data_dir.to_owned(),
            api_url: words[1].clone(),
            files_url: words[2].clone(),
            credentials,
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Everything that the server's own check finds wrong.
    pub(crate) fn problems(&self) -> Vec<server::maintenance::Problem> {
        server::maintenance::check(&self.data_dir).unwrap().problems
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server process of the other tests; it ends with its standard input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the other tests as a process of its own"]
async fn serve() {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else { return };
    let mut config = ServerConfig::new(data_dir);
    (config.api_port, config.web_port, config.files_port) = (0, 0, 0);
    // Many tests fill the disk of a small machine; how full it is, is another test.
    config.min_free_space = Some(0);
    let running = Server::start(config).await.unwrap();
    let mut line = format!("\n{READY} {} {}", running.api_url, running.files_url);
    if let Some((key, secret)) = &running.new_credentials {
        line.push_str(&format!(" {key} {secret}"));
    }
    // Not `println!`: that goes where the test harness wants it.
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}").unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.unwrap();
}
