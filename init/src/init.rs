//! The loop: what the executor asks, what the kernel tells, and the end of it all.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::connection::Connection;
use crate::exit::Exit;
use crate::find::find;
use crate::memory::oom_kills;
use crate::own::own;
use crate::probe::probe;
use crate::processes::{Others, Reaped, reap, signal_group};
use crate::spawn::{Outputs, spawn};
use crate::vocabulary::{FromInit, Hello, LINK_VERSION, Program, RequestId, SystemText, ToInit};

/// How long what is left may take to end by itself after SIGTERM, where nobody said how long.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// Pause between two looks while everything is being ended. The kernel wakes us for our children; others may die
/// unseen.
const END_INTERVAL: Duration = Duration::from_millis(20);
/// After this long, what SIGKILL did not end (the kernel cannot, or we may not) is left to the kernel and the
/// engine, which end a container whose init is gone.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// What a container returns that was ended before its main program began.
const ENDED_BEFORE: Exit = Exit::Signal(nix::libc::SIGTERM);

/// A program that was started on request.
struct Running {
    id: RequestId,
    is_main: bool,
    oom_kills: u64,
}

/// The main program, once it was started.
struct Main {
    id: RequestId,
    pid: i32,
    oom_kills: u64,
    exit: Option<Exit>,
}

/// What is to be given away when everything has ended.
struct Gift {
    id: RequestId,
    paths: Vec<SystemText>,
    uid: u32,
    gid: u32,
}

/// PID 1, or what stands for it.
pub(crate) struct Init {
    connection: Connection,
    signals: SignalFd,
    others: Others,
    programs: BTreeMap<i32, Running>,
    main: Option<Main>,
    gifts: Vec<Gift>,
    /// The signal by which somebody outside told the container to end.
    told: Option<i32>,
    /// Everything is being ended: when SIGKILL comes.
    kill_at: Option<Instant>,
}

impl Init {
    /// Connects to the executor and greets it.
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let mut heard = SigSet::empty();
        for signal in HEARD {
            heard.add(signal);
        }
        heard.thread_block()?;
        let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let others = Others::take_charge();
        let mut connection = Connection::open(socket)?;
        connection.say(&FromInit::Hello(hello()));
        Ok(Self {
            connection,
            signals,
            others,
            programs: BTreeMap::new(),
            main: None,
            gifts: Vec::new(),
            told: None,
            kill_at: None,
        })
    }

    /// Serves until the end of everything. Gives what this process is to return, or why nothing ever ran.
    pub(crate) fn run(mut self) -> Result<u8, String> {
        loop {
            self.wait();
            self.hear();
            let has_children = self.collect();
            self.connection.receive();
            while let Some(request) = self.connection.next_request() {
                self.serve(request);
            }
            if !self.connection.is_open() && self.main.is_none() {
                self.end(LEFTOVER_GRACE);
            }
            self.connection.flush();
            if self.is_over(has_children) {
                break;
            }
        }
        self.finish()
    }

    /// Waits for a signal, a request, or the next look at what is being ended.
    fn wait(&self) {
        let timeout = match self.kill_at {
            Some(_) => PollTimeout::try_from(END_INTERVAL).unwrap_or(PollTimeout::ZERO),
            None => PollTimeout::NONE,
        };
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some((descriptor, has_more)) = self.connection.polled() {
            let writable = if has_more { PollFlags::POLLOUT } else { PollFlags::empty() };
            polled.push(PollFd::new(descriptor, PollFlags::POLLIN | writable));
        }
        // An interruption is a reason to look, like all others.
        let _ = poll(&mut polled, timeout);
    }

    /// Reads the signals that have come, and passes on those that are meant for the task.
    fn hear(&mut self) {
        while let Ok(Some(heard)) = self.signals.read_signal() {
            let signal = i32::try_from(heard.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            match (signal, &self.main) {
                (Some(Signal::SIGCHLD) | None, _) => {}
                // Whoever wants the container to end means everything that runs for the task, as a terminal does.
                (Some(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT)), Some(main)) => {
                    if main.exit.is_none() {
                        self.told = Some(signal as i32);
                        signal_group(main.pid, signal);
                    }
                }
                (Some(Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT), None) => {
                    self.end(LEFTOVER_GRACE);
                }
                (Some(signal), Some(main)) if main.exit.is_none() => {
                    let _ = kill(Pid::from_raw(main.pid), signal);
                }
                (Some(_), _) => {}
            }
        }
    }

    /// Collects the dead and reports those that were asked for. Says whether there are children left.
    fn collect(&mut self) -> bool {
        let (reaped, has_children) = reap();
        for Reaped { pid, exit } in reaped {
            let Some(program) = self.programs.remove(&pid) else { continue };
            match &mut self.main {
                Some(main) if program.is_main => main.exit = Some(exit),
                Some(_) | None => self.connection.say(&FromInit::Ended {
                    id: program.id,
                    exit,
                    oom_kills: oom_kills().unwrap_or(0).saturating_sub(program.oom_kills),
                    told: self.told,
                }),
            }
            if program.is_main {
                if has_children && self.kill_at.is_none() {
                    let count = self.others.count();
                    self.connection.say(&FromInit::Leftovers { id: program.id, count });
                }
                self.end(LEFTOVER_GRACE);
            }
        }
        has_children
    }

    /// Begins to end everything, or hastens it.
    fn end(&mut self, grace: Duration) {
        let now = Instant::now();
        let kill_at = now.checked_add(grace).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600));
        match &mut self.kill_at {
            // What is left of a main program that has ended gets no more time than was said before.
            Some(earlier) => *earlier = kill_at.min(*earlier),
            None => {
                self.kill_at = Some(kill_at);
                self.others.signal(Signal::SIGTERM, self.programs.keys().copied());
            }
        }
    }

    /// Whether nothing is left; kills what is overdue.
    fn is_over(&mut self, has_children: bool) -> bool {
        let Some(kill_at) = self.kill_at else { return false };
        if !has_children {
            return true;
        }
        let Some(overdue) = Instant::now().checked_duration_since(kill_at) else { return false };
        self.others.signal(Signal::SIGKILL, self.programs.keys().copied());
        overdue > STUCK_AFTER
    }

    fn serve(&mut self, request: ToInit) {
        match request {
            ToInit::Run { id, program } => self.start(id, &program),
            ToInit::Signal { id, signal } => {
                let program = self.programs.iter().find(|(_, program)| program.id == id);
                if let (Some((pid, _)), Ok(signal)) = (program, Signal::try_from(signal)) {
                    signal_group(*pid, signal);
                }
            }
            ToInit::Stop { grace_ms } => self.end(Duration::from_millis(grace_ms)),
            ToInit::Own { id, paths, uid, gid, at_end } => {
                let gift = Gift { id, paths, uid, gid };
                match at_end {
                    true => self.gifts.push(gift),
                    false => self.give(&gift),
                }
            }
            ToInit::Probe { id, path } => {
                self.connection.say(&FromInit::Probed { id, probe: Box::new(probe(&path.0)) });
            }
            ToInit::Link { id, path, target } => {
                let made = std::os::unix::fs::symlink(target.as_path(), path.as_path());
                self.connection.say(&FromInit::Linked { id, error: made.err().map(|error| error.to_string()) });
            }
            ToInit::Find { id, name, path } => {
                self.connection.say(&FromInit::Found { id, paths: find(&name.0, &path.0) });
            }
        }
    }

    fn start(&mut self, id: RequestId, program: &Program) {
        let descriptors = self.connection.take_descriptors(if program.has_input { 3 } else { 2 });
        let refused = match (&self.main, self.kill_at) {
            (Some(_), _) if program.is_main => Some("a main program was started already"),
            (_, Some(_)) => Some("the container is being ended"),
            _ => None,
        };
        let (error, is_missing) = match (refused, descriptors.and_then(Outputs::new)) {
            (Some(why), _) => (why.to_owned(), false),
            (None, None) => ("its descriptors did not arrive".to_owned(), false),
            (None, Some(outputs)) => match spawn(program, outputs) {
                Ok(pid) => return self.started(id, pid, program.is_main),
                Err(error) => (error.text, error.is_missing),
            },
        };
        self.connection.say(&FromInit::NotStarted { id, error, is_missing });
    }

    fn started(&mut self, id: RequestId, pid: i32, is_main: bool) {
        let oom_kills = oom_kills().unwrap_or(0);
        self.programs.insert(pid, Running { id, is_main, oom_kills });
        if is_main {
            self.main = Some(Main { id, pid, oom_kills, exit: None });
        }
        self.connection.say(&FromInit::Started { id, pid });
    }

    fn give(&mut self, gift: &Gift) {
        let owned = own(gift.paths.iter().map(SystemText::as_path), gift.uid, gift.gid);
        self.connection.say(&FromInit::Owned { id: gift.id, changed: owned.changed, error: owned.error });
    }

    /// Everything has ended: the last words.
    fn finish(mut self) -> Result<u8, String> {
        for gift in std::mem::take(&mut self.gifts) {
            self.give(&gift);
        }
        let was_open = self.connection.is_open();
        let Some(main) = self.main.take() else {
            self.connection.finish();
            return if was_open { Ok(ENDED_BEFORE.as_code()) } else { Err("the executor is gone".to_owned()) };
        };
        // One that SIGKILL could not end.
        let exit = main.exit.unwrap_or(Exit::Signal(nix::libc::SIGKILL));
        let oom_kills = oom_kills().unwrap_or(0).saturating_sub(main.oom_kills);
        self.connection.say(&FromInit::Ended { id: main.id, exit, oom_kills, told: self.told });
        self.connection.finish();
        Ok(exit.as_code())
    }
}

/// The signals that are read: the end of a child, and what is passed on to the main program.
const HEARD: [Signal; 8] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

fn hello() -> Hello {
    Hello {
        version: LINK_VERSION,
        pid: rustix::process::getpid().as_raw_pid(),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        directory: std::env::current_dir().unwrap_or_else(|_| "/".into()).into(),
        environment: std::env::vars_os().map(|(name, value)| (name.into(), value.into())).collect(),
    }
}
