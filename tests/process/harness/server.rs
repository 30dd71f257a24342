//! `hostler server` as a process.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use super::wait::{PATIENCE, within};
use super::{Api, Place};

/// A server in a place, with its data in `data`.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    api_port: u16,
    web_port: u16,
    files_port: u16,
    data_dir: PathBuf,
}

impl Server {
    /// Starts one on free ports and waits until it answers.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_on(place, [0, 0, 0], None)
    }

    /// Starts one that can be started again on its ports; see [`kept_ports`].
    pub(crate) fn start_to_restart(place: &Place) -> Self {
        Self::start_on(place, kept_ports(), None)
    }

    /// Starts one that logs as the directives say.
    pub(crate) fn start_with_log(place: &Place, directives: &str) -> Self {
        Self::start_on(place, [0, 0, 0], Some(directives))
    }

    /// Ends it at once, without any chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts one again on the same data and the same ports; see [`Self::start_to_restart`].
    pub(crate) fn restart(&mut self, place: &Place) {
        *self = Self::start_on(place, [self.api_port, self.web_port, self.files_port], None);
    }

    fn start_on(place: &Place, ports: [u16; 3], log_directives: Option<&str>) -> Self {
        let data_dir = place.path("data");
        let log = place.path("logs/server.log");
        let out = place.path("logs/server.out");
        let [api, web, files] = ports.map(|port| port.to_string());
        let mut command = place.hostler();
        if let Some(directives) = log_directives {
            command.env("HOSTLER_LOG", directives);
        }
        let mut child = command
            .args(["server", "--json", "--api-port", &api, "--web-port", &web, "--files-port", &files])
            .arg("--data-dir")
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::options().create(true).append(true).open(log).unwrap())
            .spawn()
            .unwrap();
        let ready = ready_line(&mut child, &out);
        let port = |name: &str| port_of(ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {ready}")));
        Self {
            child,
            api_port: port("api_server"),
            web_port: port("web_server"),
            files_port: port("files_server"),
            data_dir,
        }
    }

    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// The file that the server wrote for its clients.
    pub(crate) fn configuration_file(&self) -> PathBuf {
        self.data_dir.join("clearml.conf")
    }

    /// A client with the credentials of the configuration file.
    pub(crate) fn api(&self) -> Api {
        login_with(&self.api_url(), &self.configuration_file())
    }
}

/// Three free ports that the kernel gives to nobody who asks for any: they stay free while nobody listens there.
pub(crate) fn kept_ports() -> [u16; 3] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let end = range.split_whitespace().next().unwrap().parse::<u16>().unwrap();
    let begin = end / 3;
    let tests = u32::from(end - begin) / 3;
    // Tests that run at once have numbers that differ.
    let mut first = begin + u16::try_from(std::process::id() % tests).unwrap() * 3;
    loop {
        let ports = [first, first + 1, first + 2];
        if ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return ports;
        }
        first = if first + 6 > end { begin } else { first + 3 };
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the line of JSON that a program prints when it is ready.
pub(crate) fn ready_line(child: &mut Child, out: &Path) -> serde_json::Value {
    within(PATIENCE.min(Duration::from_secs(60)), "readiness", || {
        let text = std::fs::read_to_string(out).unwrap_or_default();
        if let Some(line) = text.lines().next()
            && text.contains('\n')
        {
            return serde_json::from_str(line).map_err(|error| format!("{line}: {error}"));
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the program ended with {status} before it was ready");
        }
        Err("no line yet".to_owned())
    })
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok()).unwrap_or_else(|| panic!("{url}"))
}

/// A client with the credentials of a configuration file. Waits for a server that is being started again.
pub(crate) fn login_with(api_url: &str, file: &Path) -> Api {
    let (access_key, secret_key) = credentials(file);
    within(PATIENCE, "login", || Api::login(api_url, &access_key, &secret_key))
}

/// As [`login_with`], over TLS, trusting one authority (PEM) and no other.
pub(crate) fn login_trusting(authority: &[u8], api_url: &str, file: &Path) -> Api {
    let (access_key, secret_key) = credentials(file);
    within(PATIENCE, "login", || Api::login_trusting(authority, api_url, &access_key, &secret_key))
}

/// Access key and secret key of a configuration file.
fn credentials(file: &Path) -> (String, String) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let value = |key: &str| {
        let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("no {key} in {text}"));
        let rest = rest.trim_start_matches(['"', ' ', ':', '=']);
        rest.chars().take_while(|character| !"\" \n,}".contains(*character)).collect::<String>()
    };
    (value("access_key"), value("secret_key"))
}
