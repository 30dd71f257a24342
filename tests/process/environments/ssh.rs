//! Repositories over ssh: the real client with a key, and the real server, which it starts itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::row::{NO_PACKAGES, Row, Table};
use crate::harness::{Draft, Place, ProcessExt as _, git, git_commit_all, new_repository};

const SERVER: &str = "/usr/sbin/sshd";
const HOST: &str = "code.example";

/// Keys and configurations of both sides. The connection is a pipe: no port, no name to look up.
struct Ssh {
    user: String,
    /// The command that git is to use.
    command: String,
}

impl Ssh {
    fn set_up(place: &Place) -> Self {
        let folder = place.path("ssh");
        std::fs::create_dir(&folder).unwrap();
        // Of the system, where it has never run.
        let _ = std::fs::create_dir_all("/run/sshd");
        let user = run("id", &["-un"]);
        let key = |name: &str| -> PathBuf {
            let path = folder.join(name);
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path.to_str().unwrap()]);
            path
        };
        let (own, host) = (key("own"), key("host"));
        let public = |path: &Path| std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let write = |name: &str, text: String| -> String {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name).display().to_string()
        };
        let allowed = write("allowed", public(&own));
        let known = write("known", format!("{HOST} {}", public(&host)));
        let server = write(
            "sshd_config",
            format!(
                "HostKey {}\nAuthorizedKeysFile {allowed}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
                 PermitRootLogin prohibit-password\nPidFile none\n",
                host.display()
            ),
        );
        let client = write(
            "ssh_config",
            format!(
                "Host {HOST}\nIdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {known}\n\
                 StrictHostKeyChecking yes\nBatchMode yes\nProxyCommand {SERVER} -i -f {server}\n",
                own.display()
            ),
        );
        Self { user, command: format!("ssh -F {client}") }
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(program);
    command.args(arguments).finish_within(Duration::from_secs(30)).ok().trim().to_owned()
}

/// A repository with a submodule, which is named relative to it.
fn publish(place: &Place) -> PathBuf {
    let (library, code) = (place.path("library"), place.path("code"));
    new_repository(&library, &[("library.py", "VALUE = 'from a submodule'\n")]);
    new_repository(&code, &[("README.md", "")]);
    git(
        &code,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library.to_str().unwrap(), "library"],
    );
    git(&code, &["config", "-f", ".gitmodules", "submodule.library.url", "../library"]);
    git_commit_all(&code, &[("run.py", "from library import library\nprint('OUT', library.VALUE)\n")]);
    code
}

#[test]
fn code_over_ssh() {
    if !Path::new(SERVER).exists() {
        eprintln!("{SERVER} is not installed: ssh was not tested");
        return;
    }
    let place = Place::new();
    let (ssh, code) = (Ssh::set_up(&place), publish(&place));
    let (user, path) = (ssh.user.clone(), code.display().to_string());
    let row =
        |name: &str, url: String| Row::completes(name, Draft::repository("ssh", &url, "run.py"), &["from a submodule"]);
    let rows = [
        row("a URL of ssh", format!("ssh://{user}@{HOST}{path}")),
        row("as scp writes it", format!("{user}@{HOST}:{path}")),
        row("https where ssh is forced", format!("https://{HOST}{path}")),
        Row::fails(
            "a repository that is not there",
            Draft::repository("ssh", &format!("ssh://{user}@{HOST}/nowhere/code.git"), "run.py"),
            "code",
            &["nowhere/code.git"],
        ),
        Row::fails(
            "a host that nobody knows",
            Draft::repository("ssh", &format!("ssh://{user}@other.invalid{path}"), "run.py"),
            "code",
            &["other.invalid"],
        ),
    ];
    let variables = [
        NO_PACKAGES,
        ("GIT_SSH_COMMAND", ssh.command.as_str()),
        ("CLEARML_AGENT__AGENT__FORCE_GIT_SSH_PROTOCOL", "true"),
        ("CLEARML_AGENT__AGENT__FORCE_GIT_SSH_USER", user.as_str()),
    ];
    let table = Table::start(place, &variables);
    table.run(&rows);
    table.finish();
}
