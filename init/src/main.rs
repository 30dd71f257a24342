//! PID 1 of a container: a small static program that is mounted into it, whatever the image.
//!
//! It connects to the executor on the host, which listens on a mounted socket, runs what it is told to, collects
//! every dead process, and ends as the main program ended, after everything else. One thread, one loop.
//!
//! It needs nothing of the image: no library, no shell, no `/proc`, no user of its own, nothing writable.
//!
//! The vocabulary is compiled in, file by file: the whole of `hostler-protocols` would double the time that this
//! program, built apart from all others, takes to build.

mod condas;
mod connection;
#[expect(dead_code, unreachable_pub, reason = "vocabulary of two programs, each of which needs a part of it")]
#[path = "../../protocols/src/exit.rs"]
mod exit;
mod find;
#[expect(unreachable_pub, reason = "of two programs")]
#[path = "../../protocols/src/container/frame.rs"]
mod frame;
mod init;
mod memory;
mod own;
mod probe;
mod processes;
mod spawn;
#[expect(dead_code, unreachable_pub, reason = "vocabulary of two programs, each of which needs a part of it")]
#[path = "../../protocols/src/container/init.rs"]
mod vocabulary;

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::init::Init;
use crate::vocabulary::{GIVES_WAY, LINK_FOLDER, NO_EXECUTOR_CODE, SOCKET_NAME, TELLS_ENVIRONMENT};

/// As with `nice -n 19`.
const LEAST_PRIORITY: i32 = 19;

#[expect(clippy::print_stderr, reason = "standard error is where an engine shows why a container did not start")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == GIVES_WAY).is_some() {
        // Nicer than before is allowed to everybody.
        let _ = rustix::process::setpriority_process(None, LEAST_PRIORITY);
    }
    if arguments.next_if(|argument| argument == TELLS_ENVIRONMENT).is_some() {
        return tell_environment();
    }
    let socket = arguments.next().map_or_else(|| PathBuf::from(LINK_FOLDER).join(SOCKET_NAME), PathBuf::from);
    let ended = match Init::connect(&socket) {
        Ok(init) => init.run(),
        Err(error) => Err(format!("cannot connect to {}: {error}", socket.display())),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("hostler-init: {error}");
            ExitCode::from(NO_EXECUTOR_CODE)
        }
    }
}

/// For scripts, whose image may have no program that does it, or not on the `PATH` that they set.
fn tell_environment() -> ExitCode {
    let mut text = Vec::new();
    for (name, value) in std::env::vars_os() {
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    match std::io::stdout().write_all(&text).and_then(|()| std::io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
