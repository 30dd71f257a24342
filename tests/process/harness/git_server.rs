//! A server for repositories that wants a password.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Place, base_python, git};
use crate::tls::certificates;

const SERVER: &str = include_str!("git_server.py");

/// `git http-backend` behind https and a password, and an index of packages.
pub(crate) struct GitServer {
    child: Child,
    authority: PathBuf,
    /// With its bare repositories, and `wheels`.
    pub(crate) folder: PathBuf,
    /// Host and port.
    pub(crate) address: String,
}

impl GitServer {
    /// What it wants to hear.
    pub(crate) const PASSWORD: &str = "t0ken$(id)%/x@Y";

    pub(crate) fn start(place: &Place) -> Self {
        let [authority, certificate, key] = certificates(place);
        let (script, password, folder) = (place.path("git_server.py"), place.path("password"), place.path("served"));
        std::fs::write(&script, SERVER).unwrap();
        std::fs::write(&password, Self::PASSWORD).unwrap();
        std::fs::create_dir_all(folder.join("wheels")).unwrap();
        // Of whoever tests: a user of the place need not be able to run it.
        let mut command = Command::new(base_python());
        command.arg(script).args([&folder, &certificate, &key, &password]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, authority, folder, address: format!("127.0.0.1:{}", port.trim()) }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("https://{}/{name}.git", self.address)
    }

    /// A setting of git that has the password.
    pub(crate) fn with_password(&self) -> [String; 2] {
        let encoded: String = Self::PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let base = format!("https://{}/", self.address);
        [format!("url.https://robot:{encoded}@{}/.insteadOf", self.address), base]
    }

    /// Makes what is in a folder available under a name.
    pub(crate) fn publish(&self, repository: &Path, name: &str) {
        let bare = self.folder.join(format!("{name}.git"));
        git(repository, &["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    }

    /// The machine's authorities and that of the server, as one file.
    pub(crate) fn authorities(&self, place: &Place) -> String {
        let machines = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from).into_iter();
        let usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"].map(PathBuf::from);
        let machines = machines.chain(usual).find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
        let path = place.path("authorities.pem");
        std::fs::write(&path, [machines, std::fs::read(&self.authority).unwrap()].concat()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
