//! The server as a process of its own: this program, started a second time.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use server::ServerConfig;

use crate::http::Client;
use crate::{Failure, Outcome};

/// The argument that makes this program the server.
pub(crate) const SERVE: &str = "--serve";

/// A running server. Dropping it ends the process.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    authorization: String,
    directory: PathBuf,
}

impl Process {
    /// Starts a server on an empty directory and logs in.
    pub(crate) async fn start(directory: &Path) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("the server has no output")?).lines();
        let mut line = || -> Outcome<String> { Ok(lines.next().ok_or("the server has ended")??) };
        let (address, key, secret) = (line()?.parse()?, line()?, line()?);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"));
        // With a token, as the SDK after its login.
        let mut client = Client::connect(address, &format!("Basic {basic}")).await?;
        let token = client.data("auth.login", &serde_json::json!({})).await?;
        let authorization = format!("Bearer {}", token["token"].as_str().ok_or("no token")?);
        Ok(Self { child, address, authorization, directory: directory.to_owned() })
    }

    /// A new connection.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        Ok(Client::connect(self.address, &self.authorization).await?)
    }

    /// New connections.
    pub(crate) async fn clients(&self, count: usize) -> Outcome<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("server.db")
    }

    /// Processor time that the server has used.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        processor_time(&self.child.id().to_string())
    }

    /// Resident memory, now, in MB.
    pub(crate) fn resident(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }
}

/// Processor time that a process has used, all its threads together.
pub(crate) fn processor_time(process: &str) -> Outcome<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may hold spaces.
    let (_, fields) = text.rsplit_once(") ").ok_or("no statistics of the process")?;
    let ticks = |field: &str| field.parse::<u64>();
    let fields: Vec<&str> = fields.split(' ').collect();
    // Ticks are hundredths of a second on every Linux that Rust knows.
    Ok(Duration::from_millis((ticks(fields[11])? + ticks(fields[12])?) * 10))
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until the input ends, as `hostler server` does until a signal.
pub(crate) fn serve(directory: &Path) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut config = ServerConfig::new(directory);
        (config.api_port, config.web_port, config.files_port) = (0, 0, 0);
        let running = server::Server::start(config).await?;
        let (key, secret) = running.new_credentials.clone().ok_or("the directory is not empty")?;
        let api = running.api_url.trim_start_matches("http://");
        crate::say(&format!("{api}\n{key}\n{secret}"));
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        running.stop().await;
        Ok::<(), Failure>(())
    })
}
