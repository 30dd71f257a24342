//! The init in real containers, of Docker and of Podman, in every kind of image. `scripts/containers` makes both.

use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use drivers::container::{Descriptors, InitLink, InitSocket, init_program};
use protocols::container::init::{FromInit, INIT_PATH, LINK_FOLDER, LibcFlavour, Program};
use protocols::exit::Exit;
use tempfile::TempDir;

use crate::inside::{PATIENCE, Started, processes_with, text, unique, until};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The engines that there are; says so where there is none.
#[expect(clippy::print_stderr, reason = "why a test is skipped")]
pub(crate) fn engines() -> Vec<String> {
    let variables = ["HOSTLER_TEST_DOCKER", "HOSTLER_TEST_PODMAN"];
    let engines: Vec<String> = variables.iter().filter_map(|name| std::env::var(name).ok()).collect();
    if engines.is_empty() {
        eprintln!("skipped: no container engine: eval what `scripts/containers start` prints");
    }
    engines
}

/// A container whose PID 1 is the init.
struct Container {
    link: InitLink,
    engine: String,
    id: String,
    folder: TempDir,
}

impl Container {
    fn start(engine: &str, image: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = InitSocket::bind(&folder.path().join("link")).unwrap();
        let init = init_program(&folder.path().join("cache")).unwrap();
        let mounts = [
            format!("{}:{INIT_PATH}:ro", init.display()),
            format!("{}:{LINK_FOLDER}", folder.path().join("link").display()),
        ];
        let output = Command::new("docker")
            .args(["--host", engine, "run", "--detach", "--network", "host", "--entrypoint", INIT_PATH])
            .args(mounts.iter().flat_map(|mount| ["--volume", mount]))
            .args(arguments)
            .arg(format!("hostler-test/{image}"))
            .output()
            .unwrap();
        let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(output.status.success(), "{image}: {}", String::from_utf8_lossy(&output.stderr));
        let link = socket.accept(PATIENCE, &|| false).unwrap();
        Self { link, engine: engine.to_owned(), id, folder }
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("docker").args(["--host", &self.engine]).args(arguments).arg(&self.id).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn main(&self, words: &[&str]) -> Started {
        let (output, writer) = std::io::pipe().unwrap();
        let program = Program {
            program: words[0].into(),
            arguments: words[1..].iter().copied().map(Into::into).collect(),
            environment: vec![(text("PATH"), text(PATH)), (text("CODE"), text("7"))],
            is_main: true,
            ..Program::default()
        };
        let descriptors = Descriptors { input: None, output: writer.as_fd(), errors: writer.as_fd() };
        Started { asked: self.link.run(program, descriptors).unwrap(), output }
    }

    /// What the engine says that the container returned.
    fn code(&self) -> String {
        self.docker(&["wait"])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["--host", &self.engine, "rm", "--force", &self.id]).output();
    }
}

#[test]
fn every_image_runs_its_main_program() {
    for engine in engines() {
        for (image, uid, words, printed, code) in [
            ("python", 0, vec!["python3", "-c", "import sys; print(1 + 1); sys.exit(3)"], "2\n", 3),
            ("user", 1234, vec!["python3", "-c", "import os; print(os.getuid())"], "1234\n", 0),
            ("entry", 0, vec!["sh", "-c", "echo $0; exit 4"], "sh\n", 4),
            ("plain", 0, vec!["bash", "-c", "echo $BASH; exit 5"], "/usr/bin/bash\n", 5),
            ("musl", 0, vec!["say", "with musl"], "with musl\n", 7),
            ("static", 0, vec!["/say", "alone", "here"], "alone\nhere\n", 7),
        ] {
            for arguments in [&[][..], &["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]] {
                let container = Container::start(&engine, image, arguments);
                let hello = container.link.hello();
                assert_eq!((hello.pid, hello.uid), (1, uid), "{engine} {image} {arguments:?}");
                let (exit, output) = container.main(&words).end();
                assert_eq!((exit, output.as_str()), (Exit::Code(code), printed), "{engine} {image} {arguments:?}");
                assert_eq!(container.code(), code.to_string(), "{engine} {image} {arguments:?}");
            }
        }
    }
}

#[test]
fn images_show_what_they_have() {
    for engine in engines() {
        let probe = |image| Container::start(&engine, image, &[]).link.probe(PATH).unwrap();
        let python = probe("python");
        assert!(python.pythons.contains(&text("/usr/bin/python3")), "{python:?}");
        let libc = python.libc.unwrap();
        assert_eq!(libc.flavour, LibcFlavour::Glibc);
        assert!(libc.version.is_some_and(|version| version.starts_with("2.")));
        assert_eq!(python.system.as_deref(), Some("debian"));
        let plain = probe("plain");
        assert_eq!((plain.pythons, plain.shells.len()), (vec![], 2));
        let user = probe("user").user.unwrap();
        assert_eq!((user.name.as_str(), user.home), ("me", text("/home/me")));
        let musl = probe("musl");
        let libc = musl.libc.unwrap();
        assert_eq!((libc.flavour, musl.shells), (LibcFlavour::Musl, vec![text("/bin/sh")]));
        assert!(libc.version.is_some_and(|version| version.starts_with("1.")));
        let nothing = probe("static");
        assert_eq!((nothing.libc, nothing.shells, nothing.pythons), (None, vec![], vec![]));
        let container = Container::start(&engine, "static", &[]);
        let (error, is_missing) = container.main(&["/bin/sh", "-c", "true"]).refusal();
        assert_eq!((error.as_str(), is_missing), ("there is no /bin/sh in the container", true));
    }
}

/// Nothing that the program gets over the link is to be seen in the container's configuration.
#[test]
fn the_engine_knows_nothing_of_the_program() {
    for engine in engines() {
        let container = Container::start(&engine, "python", &[]);
        let mut main = container.main(&["sh", "-c", "echo $CODE; read line; exec sleep 1000"]);
        assert_eq!(main.line(), "7");
        let shown = container.docker(&["inspect"]);
        assert!(!shown.contains("CODE") && !shown.contains("sleep"), "{shown}");
    }
}

#[test]
fn a_stop_of_the_engine_reaches_the_program() {
    for engine in engines() {
        let container = Container::start(&engine, "python", &[]);
        let mut main = container.main(&[
            "python3",
            "-uc",
            "import signal, sys\nsignal.signal(15, lambda *_: sys.exit('saved'))\nprint('up')\nsignal.pause()",
        ]);
        assert_eq!(main.line(), "up");
        container.docker(&["stop", "--time", "60"]);
        assert_eq!(main.end_and_why(), (Exit::Code(1), Some(15), "saved\n".to_owned()));
    }
}

/// The kernel's kill for want of memory is told apart from others.
#[test]
fn a_kill_for_want_of_memory_is_recognised() {
    for engine in engines() {
        let container = Container::start(&engine, "python", &["--memory", "64m", "--memory-swap", "64m"]);
        let main = container.main(&["python3", "-c", "x = bytearray(1 << 30)"]);
        let (exit, oom_kills) = loop {
            match main.answer() {
                FromInit::Ended { exit, oom_kills, .. } => break (exit, oom_kills),
                other => assert!(matches!(other, FromInit::Started { .. }), "{other:?}"),
            }
        };
        assert_eq!((exit, oom_kills), (Exit::Signal(9), 1), "{engine}");
        assert_eq!(container.code(), "137");
    }
}

/// A command for a process in a session of its own, which the images have no program for.
fn session(mark: &str) -> String {
    format!("python3 -c 'import os, signal; os.setsid(); signal.pause() # {mark}'")
}

#[test]
fn with_the_processes_of_the_host_in_sight_only_its_own_end() {
    for engine in engines() {
        let mark = unique();
        let mut neighbour = Command::new("sleep").arg(unique()).spawn().unwrap();
        let container = Container::start(&engine, "python", &["--pid", "host"]);
        assert!(container.link.hello().pid > 1);
        let script = format!("({} &); sleep {mark} & echo up; exit 2", session(&mark));
        let mut main = container.main(&["sh", "-c", &script]);
        assert_eq!(main.line(), "up");
        assert_eq!(main.end().0, Exit::Code(2));
        assert_eq!(processes_with(&mark), 0);
        assert_eq!(container.code(), "2");
        assert!(neighbour.try_wait().unwrap().is_none());
        neighbour.kill().unwrap();
        neighbour.wait().unwrap();
    }
}

#[test]
fn a_killed_init_takes_everything_with_it() {
    for engine in engines() {
        let mark = unique();
        let container = Container::start(&engine, "python", &[]);
        let script = format!("trap '' TERM; {} & echo up; sleep {mark}", session(&mark));
        let mut main = container.main(&["sh", "-c", &script]);
        assert_eq!(main.line(), "up");
        container.docker(&["kill"]);
        until("the link is closed", || container.link.is_closed());
        assert_eq!(container.code(), "137");
        assert_eq!(processes_with(&mark), 0);
        assert!(matches!(main.answer(), FromInit::Started { .. }));
        main.asked.next(PATIENCE).unwrap_err();
    }
}

#[test]
fn an_executor_that_leaves_takes_an_idle_container_with_it() {
    for engine in engines() {
        let container = Container::start(&engine, "static", &[]);
        container.link.close();
        assert_eq!(container.code(), "125");
        assert!(!container.folder.path().join("link/socket").exists());
        let container = Container::start(&engine, "static", &[]);
        container.link.stop(Duration::ZERO).unwrap();
        assert_eq!(container.code(), "143");
    }
}
