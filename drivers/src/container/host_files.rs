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
    let mut environment = Vec::new();
    for path in std::mem::take(&mut spec.environment_files) {
        for (name, value) in pairs("--env-file", &path)? {
            // A name alone is that of a variable of this machine; without one it says nothing.
            let value = value.or_else(|| std::env::var(&name).ok());
            environment.extend(value.map(|value| (name, Some(value))));
        }
    }
    fill(&mut spec.environment, environment);
    let mut labels = Vec::new();
    for path in std::mem::take(&mut spec.label_files) {
        let of_file = pairs("--label-file", &path)?.into_iter();
        labels.extend(of_file.map(|(name, value)| (name, value.unwrap_or_default())));
    }
    fill(&mut spec.labels, labels);
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

/// Adds what the arguments do not say. Of a name that the files say several times the last counts.
fn fill<T>(said: &mut Vec<(String, T)>, of_files: Vec<(String, T)>) {
    let by_arguments = said.len();
    for (name, value) in of_files {
        match said.iter().position(|(other, _)| *other == name) {
            None => said.push((name, value)),
            Some(at) if at < by_arguments => {}
            Some(at) => said[at].1 = value,
        }
    }
}

fn read(switch: &'static str, path: &str) -> Result<String, HostFileError> {
    std::fs::read_to_string(path).map_err(|source| HostFileError { switch, path: Path::new(path).to_owned(), source })
}

/// `NAME=VALUE`, or `NAME` alone; one a line, without what begins with `#`. A name has no spaces, as with Docker: a line
/// of a shell script (`export NAME=VALUE`) is a mistake, and no variable of an odd name.
fn pairs(switch: &'static str, path: &str) -> Result<Vec<(String, Option<String>)>, HostFileError> {
    let text = read(switch, path)?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let pair = |(at, line): (usize, &str)| {
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            let wrong = format!("line {} is not NAME=VALUE, with a name without spaces", at + 1);
            let source = io::Error::new(io::ErrorKind::InvalidData, wrong);
            return Err(HostFileError { switch, path: Path::new(path).to_owned(), source });
        }
        Ok((name.to_owned(), value))
    };
    lines.map(pair).collect()
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
            environment_files: vec![
                file("env", "\u{feff}# c\nA=1\nB=first\nB=x=y\n\n  C= z\nNO_SUCH_VARIABLE_HERE\nD=one\r\n"),
                file("more", "D=two\n"),
            ],
            label_files: vec![file("labels", "l=k\nl=m\nn\n")],
            security_options: vec![format!("seccomp={}", file("profile", "{}")), "no-new-privileges".into()],
            ..ContainerSpec::default()
        };
        read_host_files(&mut spec).unwrap();
        let set = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        // What `docker run` makes of the same files.
        let expected = [set("A", Some("mine")), set("B", Some("x=y")), set("C", Some(" z")), set("D", Some("two"))];
        assert_eq!(spec.environment, expected);
        assert_eq!(spec.labels, [("l".to_owned(), "m".to_owned()), ("n".to_owned(), String::new())]);
        assert_eq!(spec.security_options, ["seccomp={}", "no-new-privileges"]);
        spec.environment_files = vec!["/no/such/file".into()];
        assert!(read_host_files(&mut spec).unwrap_err().to_string().contains("--env-file"));
        for wrong in ["A=1\nexport B=2\n", "A=1\n=2\n"] {
            spec.environment_files = vec![file("wrong", wrong)];
            let error = read_host_files(&mut spec).unwrap_err();
            assert!(std::error::Error::source(&error).unwrap().to_string().starts_with("line 2"), "{error}");
        }
    }

    #[test]
    fn a_port_is_busy_while_somebody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(busy_ports().contains(&port));
    }
}
