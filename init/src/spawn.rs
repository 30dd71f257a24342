//! Starting a program, with everything that it is to have and nothing of what this process has.
#![expect(unsafe_code, reason = "what a child does between fork and exec")]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use rustix::fs::Mode;
use rustix::process::{Gid, Uid};

use crate::vocabulary::{Program, User};

/// Why a program does not run.
#[derive(Debug)]
pub(crate) struct SpawnError {
    /// In words that name the thing.
    pub(crate) text: String,
    /// Whether it is the program itself that is not there.
    pub(crate) is_missing: bool,
}

/// The descriptors of a program.
pub(crate) struct Outputs {
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
}

impl Outputs {
    /// From the descriptors of a request, in their order.
    pub(crate) fn new(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut backwards = descriptors.into_iter().rev();
        let (errors, output) = (backwards.next()?, backwards.next()?);
        Some(Self { input: backwards.next(), output, errors })
    }
}

/// Starts the program, in a process group of its own, with default signals. Gives its pid, which the caller reaps.
pub(crate) fn spawn(program: &Program, outputs: Outputs) -> Result<i32, SpawnError> {
    let mut command = Command::new(&program.program);
    command
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(outputs.input.map_or_else(no_input, Stdio::from))
        .stdout(outputs.output)
        .stderr(outputs.errors)
        .process_group(0);
    let in_child = in_child(program);
    // SAFETY: this process has one thread, so that no lock that the child may need is held by another one.
    unsafe { command.pre_exec(in_child) };
    let child = command.spawn().map_err(|error| explain(program, &error))?;
    i32::try_from(child.id()).map_err(|_| SpawnError { text: "a pid beyond all bounds".to_owned(), is_missing: false })
}

/// An input that ends at once. `/dev/null` may be missing in a strange image; a pipe without a writer never is.
fn no_input() -> Stdio {
    match std::fs::File::open("/dev/null") {
        Ok(null) => null.into(),
        Err(_) => io::pipe().map_or_else(|_| Stdio::null(), |(reader, _)| reader.into()),
    }
}

fn in_child(program: &Program) -> impl FnMut() -> io::Result<()> + use<> {
    let user = program.user.clone();
    let directory = program.directory.clone();
    let (umask, oom_score) = (program.umask, program.oom_score);
    move || {
        reset_signals();
        if let Some(score) = oom_score {
            // Lower than before is not allowed to everybody, and not worth a task.
            let _ = std::fs::write("/proc/self/oom_score_adj", score.to_string());
        }
        if let Some(mask) = umask {
            rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
        }
        if let Some(user) = &user {
            become_user(user)?;
        }
        if let Some(directory) = &directory {
            std::env::set_current_dir(directory.as_path())?;
        }
        Ok(())
    }
}

/// This process blocks the signals that it reads, and may have inherited ignored ones from the engine.
fn reset_signals() {
    for number in Signal::iterator().filter(|number| !matches!(number, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default is no function of ours.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

fn become_user(user: &User) -> io::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    rustix::thread::set_thread_groups(&groups)?;
    let gid = Gid::from_raw(user.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(user.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// The kernel says the same of a missing program, a missing folder and a missing interpreter.
fn explain(program: &Program, error: &io::Error) -> SpawnError {
    let name = program.program.0.to_string_lossy();
    let path = Path::new(&program.program);
    let has_slash = path.components().count() > 1;
    let directory = program.directory.as_ref().map(|directory| directory.as_path());
    let mut is_missing = false;
    let text = match (error.kind(), directory) {
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, Some(directory)) if !directory.is_dir() => {
            format!("the working directory {} is not there", directory.display())
        }
        (io::ErrorKind::PermissionDenied, Some(directory)) if directory.read_dir().is_err() => {
            format!("the working directory {} may not be entered by uid {}", directory.display(), uid_of(program))
        }
        (io::ErrorKind::NotFound, _) if has_slash && path.exists() => {
            format!("{name} is there, but the interpreter or loader that it asks for is not")
        }
        (io::ErrorKind::NotFound, _) => {
            is_missing = true;
            let place = if has_slash { "in the container" } else { "on the PATH of the container" };
            format!("there is no {name} {place}")
        }
        // Not even root may where its capabilities were dropped.
        (io::ErrorKind::PermissionDenied, _) if error.raw_os_error() == Some(nix::libc::EPERM) => {
            format!("cannot start {name} as uid {}: the container may not change its user", uid_of(program))
        }
        (io::ErrorKind::PermissionDenied, _) => format!("{name} may not be executed by uid {}", uid_of(program)),
        (io::ErrorKind::ArgumentListTooLong, _) => {
            format!("arguments and variables of {name} are larger than the kernel takes")
        }
        _ if error.raw_os_error() == Some(nix::libc::ENOEXEC) => {
            format!("{name} is no program that this machine can run")
        }
        _ => format!("cannot start {name}: {error}"),
    };
    SpawnError { text, is_missing }
}

fn uid_of(program: &Program) -> u32 {
    program.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid)
}
