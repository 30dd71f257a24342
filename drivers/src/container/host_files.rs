//! What arguments of a container name of this machine: files, ports.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use procfs::net::TcpState;
use protocols::container::ContainerSpec;

/// A file that an argument names, and that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}, which {switch} names", path.display())]
pub struct HostFileError {
    switch: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Reads the files that a specification names, as Docker's own client does: those with variables and labels, and the
/// profile of seccomp. What stands in the arguments themselves wins.
pub fn read_host_files(spec: &mut ContainerSpec) -> Result<(), HostFileError> {
    for path in std::mem::take(&mut spec.environment_files) {
        for (name, value) in pairs(&read("--env-file", &path)?) {
            // A name alone is that of a variable of this machine.
            let value = value.or_else(|| std::env::var(&name).ok());
            if !spec.environment.iter().any(|(other, _)| *other == name) {
                spec.environment.push((name, value));
            }
        }
    }
    for path in std::mem::take(&mut spec.label_files) {
        for (name, value) in pairs(&read("--label-file", &path)?) {
            if !spec.labels.iter().any(|(other, _)| *other == name) {
                spec.labels.push((name, value.unwrap_or_default()));
            }
        }
    }
    for option in &mut spec.security_options {
        let Some(profile) = option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:")) else {
            continue;
        };
        if profile != "unconfined" && profile != "builtin" {
            *option = format!("seccomp={}", read("--security-opt seccomp", profile)?);
        }
    }
    Ok(())
}

fn read(switch: &'static str, path: &str) -> Result<String, HostFileError> {
    std::fs::read_to_string(path).map_err(|source| HostFileError { switch, path: Path::new(path).to_owned(), source })
}

/// `NAME=VALUE`, or `NAME` alone; one a line, without what begins with `#`.
fn pairs(text: &str) -> Vec<(String, Option<String>)> {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (line.trim_end().to_owned(), None),
        })
        .collect()
}

/// The TCP ports of this machine on which somebody listens.
pub fn busy_ports() -> BTreeSet<u16> {
    let entries = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    entries.filter(|entry| entry.state == TcpState::Listen).map(|entry| entry.local_address.port()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fill_what_the_arguments_leave_open() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let mut spec = ContainerSpec {
            environment: vec![("A".into(), Some("mine".into()))],
            environment_files: vec![file("env", "# c\nA=1\nB=x=y\n\n  C= z\nNO_SUCH_VARIABLE_HERE\n")],
            label_files: vec![file("labels", "l=m\nn\n")],
            security_options: vec![format!("seccomp={}", file("profile", "{}")), "no-new-privileges".into()],
            ..ContainerSpec::default()
        };
        read_host_files(&mut spec).unwrap();
        let set = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let expected =
            [set("A", Some("mine")), set("B", Some("x=y")), set("C", Some(" z")), set("NO_SUCH_VARIABLE_HERE", None)];
        assert_eq!(spec.environment, expected);
        assert_eq!(spec.labels, [("l".to_owned(), "m".to_owned()), ("n".to_owned(), String::new())]);
        assert_eq!(spec.security_options, ["seccomp={}", "no-new-privileges"]);
        spec.environment_files = vec!["/no/such/file".into()];
        assert!(read_host_files(&mut spec).unwrap_err().to_string().contains("--env-file"));
    }

    #[test]
    fn a_port_is_busy_while_somebody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(busy_ports().contains(&port));
    }
}
