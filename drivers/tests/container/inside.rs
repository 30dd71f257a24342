//! An init in namespaces of its own, and what tests ask of it.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use drivers::container::{Asked, Descriptors, InitLink, InitSocket, init_program};
use protocols::container::init::{FromInit, Program, SystemText};
use protocols::exit::Exit;
use tempfile::TempDir;

/// No answer takes longer, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the init is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// PID 1, with a `/proc` of its own.
    First,
    /// PID 1, as another user.
    FirstAsUser(u32),
    /// PID 1, and no `/proc`.
    FirstWithoutProc,
    /// A process among the machine's, as in a container with `--pid=host`.
    Beside,
    /// The same, and no `/proc`.
    BesideWithoutProc,
}

/// A running init.
pub(crate) struct Inside {
    pub(crate) link: InitLink,
    /// The init, or `unshare` around it, which ends as it does.
    pub(crate) around: Child,
    pub(crate) folder: TempDir,
}

/// Whether namespaces can be made here; says why a test is skipped where they cannot.
#[expect(clippy::print_stderr, reason = "why a test is skipped")]
pub(crate) fn can_unshare() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    let can = is_root && Command::new("unshare").args(["-m", "-p", "-f", "true"]).status().is_ok_and(|s| s.success());
    if !can {
        eprintln!("skipped: namespaces can be made by root only, and not in every sandbox");
    }
    can
}

pub(crate) fn command_of(place: Place, init: &Path, socket: &Path) -> Command {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--kill-child=KILL").args(arguments);
        command
    };
    let hide_proc = "mount -t tmpfs none /proc && exec \"$0\" \"$1\"";
    let mut command = match place {
        Place::First => unshare(&["-m", "-p", "--mount-proc"]),
        Place::FirstAsUser(uid) => {
            let uid = uid.to_string();
            unshare(&["-m", "-p", "--mount-proc", "-S", &uid, "-G", &uid])
        }
        Place::FirstWithoutProc => unshare(&["-m", "-p", "sh", "-c", hide_proc]),
        Place::Beside => return direct(init, socket),
        Place::BesideWithoutProc => {
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", hide_proc]);
            command
        }
    };
    command.arg(init).arg(socket);
    command
}

fn direct(init: &Path, socket: &Path) -> Command {
    let mut command = Command::new(init);
    command.arg(socket);
    command
}

impl Inside {
    pub(crate) fn start(place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A user of the image comes this way.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let init = init_program(&folder.path().join("cache")).unwrap();
        // Too long for an address of a socket, on the host; a container has a short name for it.
        let long = folder.path().join("x".repeat(120));
        let socket = InitSocket::bind(&long).unwrap();
        let short = folder.path().join("link");
        std::os::unix::fs::symlink(&long, &short).unwrap();
        let around = command_of(place, &init, &short.join("socket")).env("GIVEN", "by the engine").spawn().unwrap();
        let link = socket.accept(PATIENCE, &|| false).unwrap();
        Self { link, around, folder }
    }

    /// Starts a shell script; its output can be read.
    pub(crate) fn shell(&self, script: &str, change: impl FnOnce(&mut Program)) -> Started {
        let mut program = Program {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            ..Program::default()
        };
        change(&mut program);
        self.start_program(program)
    }

    pub(crate) fn main(&self, script: &str) -> Started {
        self.shell(script, |program| program.is_main = true)
    }

    pub(crate) fn start_program(&self, program: Program) -> Started {
        let (output, writer) = std::io::pipe().unwrap();
        let descriptors = Descriptors { input: None, output: writer.as_fd(), errors: writer.as_fd() };
        let asked = self.link.run(program, descriptors).unwrap();
        Started { asked, output }
    }

    /// How the container ended.
    pub(crate) fn status(&mut self) -> ExitStatus {
        self.around.wait().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Beside us, nothing else ends what the init has started.
        let left = drivers::process::descendants(self.around.id().cast_signed());
        let _ = self.around.kill();
        let _ = self.around.wait();
        for process in left {
            let _ = drivers::process::signal(process, drivers::process::Signal::KILL);
        }
    }
}

/// A program that was asked for.
pub(crate) struct Started {
    pub(crate) asked: Asked,
    pub(crate) output: PipeReader,
}

impl Started {
    pub(crate) fn answer(&self) -> FromInit {
        self.asked.next(PATIENCE).unwrap().expect("an answer in time")
    }

    /// Reads to the first end of a line.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Waits for the end: how, and everything that was printed and not read before.
    pub(crate) fn end(self) -> (Exit, String) {
        let (exit, _, text) = self.end_and_why();
        (exit, text)
    }

    /// The same, and by which signal somebody outside told the container to end.
    pub(crate) fn end_and_why(mut self) -> (Exit, Option<i32>, String) {
        let (exit, told) = loop {
            match self.answer() {
                FromInit::Ended { exit, told, .. } => break (exit, told),
                FromInit::Started { .. } | FromInit::Leftovers { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        (exit, told, text)
    }

    /// Why it was not started.
    pub(crate) fn refusal(self) -> (String, bool) {
        match self.answer() {
            FromInit::NotStarted { error, is_missing, .. } => (error, is_missing),
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

/// Processes of the machine that have this text among their arguments or variables.
pub(crate) fn processes_with(text: &str) -> usize {
    let all = procfs::process::all_processes().unwrap().flatten();
    let has = |bytes: std::io::Result<Vec<u8>>| {
        bytes.is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    all.filter(|process| {
        let folder = PathBuf::from(format!("/proc/{}", process.pid));
        let is_dead = process.stat().map_or(true, |stat| stat.state == 'Z');
        !is_dead && has(std::fs::read(folder.join("cmdline")))
    })
    .count()
}

/// A number that no other process has in its command line.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("9{:08}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn text(value: &str) -> SystemText {
    value.into()
}

pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}
