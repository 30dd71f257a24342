//! How everything ends, and that nothing is left.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use drivers::container::{Descriptors, InitSocket, LinkError, init_program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocols::container::init::{FromInit, Program};
use protocols::exit::Exit;

use crate::inside::{Inside, PATIENCE, Place, can_unshare, command_of, processes_with, quiet, unique, until};

const LONG: Duration = Duration::from_secs(600);

fn places() -> Vec<Place> {
    let mut places = vec![Place::Beside];
    if can_unshare() {
        places.extend([Place::First, Place::FirstAsUser(1234), Place::FirstWithoutProc]);
    }
    places
}

/// The pid of the init on this machine.
fn init_pid(inside: &Inside) -> Pid {
    let around = i32::try_from(inside.around.id()).unwrap();
    if inside.link.hello().pid == around {
        return Pid::from_raw(around);
    }
    // `unshare`, and its child.
    Pid::from_raw(drivers::process::descendants(around)[0].pid)
}

#[test]
fn the_container_ends_as_its_main_program_does() {
    for place in places() {
        for (script, exit, code) in [
            ("exit 0", Exit::Code(0), 0),
            ("exit 7", Exit::Code(7), 7),
            ("kill -9 $$", Exit::Signal(9), 137),
            ("kill -11 $$", Exit::Signal(11), 139),
        ] {
            let mut inside = Inside::start(place);
            assert_eq!(inside.main(script).end().0, exit, "{place:?}: {script}");
            assert_eq!(inside.status().code(), Some(code), "{place:?}: {script}");
            until("the link is closed", || inside.link.is_closed());
        }
    }
}

/// Processes that lost their parents and died are collected while the main program goes on.
#[test]
fn no_zombie_stays() {
    for place in [Place::Beside, Place::First] {
        if place == Place::First && !can_unshare() {
            continue;
        }
        let inside = Inside::start(place);
        let mut main = inside.main("for i in $(seq 200); do (setsid true &) ; done; echo made; sleep 1000");
        assert_eq!(main.line(), "made");
        let init = init_pid(&inside).as_raw();
        until("every orphan is collected", || {
            let all = procfs::process::all_processes().unwrap().flatten();
            let stats: Vec<_> = all.filter_map(|process| process.stat().ok()).collect();
            // The shell and its sleep are all that is left.
            stats.iter().filter(|stat| stat.ppid == init).count() == 1
        });
    }
}

/// Another session, another parent, a deaf ear: everything is dead before the end is reported.
#[test]
fn what_the_main_program_leaves_behind_is_ended() {
    for place in places() {
        let mark = unique();
        let inside = Inside::start(place);
        let deaf = inside.path("deaf");
        std::fs::create_dir(&deaf).unwrap();
        std::fs::set_permissions(&deaf, PermissionsExt::from_mode(0o777)).unwrap();
        let script = format!(
            "setsid sh -c 'trap \"\" TERM; echo >{0}/ready; while :; do sleep {mark}; done' & \
             (setsid sleep {mark} &); sleep {mark} & while ! [ -e {0}/ready ]; do sleep 0.02; done; exit 5",
            deaf.display()
        );
        let main = inside.main(&script);
        let mut count = None;
        let exit = loop {
            match main.answer() {
                FromInit::Leftovers { count: left, .. } => count = Some(left),
                FromInit::Ended { exit, .. } => break exit,
                _ => {}
            }
        };
        assert_eq!(exit, Exit::Code(5), "{place:?}");
        assert_eq!(processes_with(&mark), 0, "{place:?}");
        match place {
            Place::FirstWithoutProc => assert_eq!(count, Some(None)),
            _ => assert!(count.flatten().is_some_and(|count| count >= 3), "{place:?}: {count:?}"),
        }
    }
}

#[test]
fn a_stop_gives_time_and_then_none() {
    for place in places() {
        let mut inside = Inside::start(place);
        let mut main =
            inside.main("trap 'echo saving; echo saved; exit 9' TERM; echo up; while :; do sleep 0.05; done");
        assert_eq!(main.line(), "up");
        inside.link.stop(LONG).unwrap();
        let (exit, told, output) = main.end_and_why();
        assert_eq!(told, None, "its executor's wish comes from inside");
        assert!(exit == Exit::Code(9) && output.ends_with("saving\nsaved\n"), "{place:?}: {output}");
        assert_eq!(inside.status().code(), Some(9));

        let mut inside = Inside::start(place);
        let mut deaf = inside.main("trap '' TERM; echo up; while :; do sleep 0.05; done");
        assert_eq!(deaf.line(), "up");
        inside.link.stop(LONG).unwrap();
        assert!(matches!(deaf.answer(), FromInit::Started { .. }), "{place:?}");
        assert!(deaf.asked.next(Duration::from_millis(300)).unwrap().is_none(), "{place:?}: it has time");
        inside.link.stop(Duration::from_millis(10)).unwrap();
        assert_eq!(deaf.end().0, Exit::Signal(9), "{place:?}");
        assert_eq!(inside.status().code(), Some(137), "{place:?}");
    }
}

#[test]
fn a_stop_before_the_main_program_ends_what_is_being_built() {
    for place in places() {
        let mark = unique();
        let mut inside = Inside::start(place);
        let mut build = inside.shell(&format!("trap '' TERM; echo up; sleep {mark}; sleep {mark}"), |_| {});
        assert_eq!(build.line(), "up");
        inside.link.stop(Duration::from_millis(50)).unwrap();
        assert_eq!(build.end().0, Exit::Signal(9), "{place:?}");
        assert_eq!(inside.status().code(), Some(143), "{place:?}");
        assert_eq!(processes_with(&mark), 0);
    }
}

/// What `docker stop` and `docker kill` do.
#[test]
fn signals_for_the_container_reach_the_main_program() {
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGUSR1, "USR1")] {
        for place in places() {
            let mut inside = Inside::start(place);
            let mut main =
                inside.main(&format!("trap 'echo got {name}; exit 4' {name}; echo up; while :; do sleep 0.05; done"));
            assert_eq!(main.line(), "up");
            kill(init_pid(&inside), signal).unwrap();
            let (exit, told, output) = main.end_and_why();
            let is_end = signal != Signal::SIGUSR1;
            assert_eq!(told, is_end.then_some(signal as i32), "{place:?}: {name}");
            // A shell remarks that the program that it waited for was ended, too.
            assert!(exit == Exit::Code(4) && output.contains(&format!("got {name}\n")), "{place:?}: {output}");
            assert_eq!(inside.status().code(), Some(4));
        }
    }
}

#[test]
fn a_signal_before_the_main_program_ends_the_container() {
    for place in places() {
        let mut inside = Inside::start(place);
        kill(init_pid(&inside), Signal::SIGTERM).unwrap();
        assert_eq!(inside.status().code(), Some(143), "{place:?}");
    }
}

/// `kill(-1)` would end the machine: with the processes of others in sight, only what is its own is touched.
#[test]
fn beside_others_it_ends_only_its_own() {
    let (mark, foreign) = (unique(), unique());
    let mut neighbour = Command::new("sleep").arg(&foreign).spawn().unwrap();
    let inside = Inside::start(Place::Beside);
    let mut main = inside.main(&format!("(setsid sleep {mark} &); setsid sleep {mark} & echo up; sleep {mark}"));
    assert_eq!(main.line(), "up");
    until("all three run", || processes_with(&mark) >= 3);
    inside.link.stop(Duration::from_secs(1)).unwrap();
    main.end();
    assert_eq!(processes_with(&mark), 0);
    assert!(neighbour.try_wait().unwrap().is_none(), "the neighbour lives");
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
}

#[test]
fn without_proc_and_beside_others_the_groups_are_ended() {
    if !can_unshare() {
        return;
    }
    let mark = unique();
    let mut inside = Inside::start(Place::BesideWithoutProc);
    let mut main = inside.main(&format!("sleep {mark} & trap '' TERM; echo up; sleep {mark}; sleep {mark}"));
    assert_eq!(main.line(), "up");
    inside.link.stop(Duration::from_millis(100)).unwrap();
    assert_eq!(main.end().0, Exit::Signal(9));
    assert_eq!(inside.status().code(), Some(137));
    assert_eq!(processes_with(&mark), 0);
}

/// The executor was killed: what runs goes on and ends as it ends.
#[test]
fn the_main_program_outlives_its_executor() {
    for place in places() {
        let mut inside = Inside::start(place);
        let console = inside.path("console");
        let file = OpenOptions::new().create(true).append(true).open(&console).unwrap();
        let gate = inside.path("gate");
        let script = format!("echo up; while ! [ -e {} ]; do sleep 0.02; done; echo done; exit 6", gate.display());
        let program = Program {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            is_main: true,
            ..Program::default()
        };
        let descriptors = Descriptors { input: None, output: file.as_fd(), errors: file.as_fd() };
        let asked = inside.link.run(program, descriptors).unwrap();
        assert!(matches!(asked.next(PATIENCE).unwrap(), Some(FromInit::Started { .. })));
        inside.link.close();
        until("the link is closed", || inside.link.is_closed());
        std::fs::write(&gate, "").unwrap();
        assert_eq!(inside.status().code(), Some(6), "{place:?}");
        assert_eq!(std::fs::read_to_string(&console).unwrap(), "up\ndone\n");
    }
}

#[test]
fn without_an_executor_nothing_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let init = init_program(folder.path()).unwrap();
    let nobody = folder.path().join("nobody");
    let output = quiet(&mut command_of(Place::Beside, &init, &nobody)).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("hostler-init: cannot connect to ") && said.lines().count() == 1, "{said}");

    for place in places() {
        let mark = unique();
        let mut inside = Inside::start(place);
        let mut build = inside.shell(&format!("trap '' TERM; echo up; sleep {mark}; sleep {mark}"), |_| {});
        assert_eq!(build.line(), "up");
        inside.link.close();
        assert_eq!(inside.status().code(), Some(125), "{place:?}");
        assert_eq!(processes_with(&mark), 0, "{place:?}");
    }
}

#[test]
fn the_end_of_a_container_is_the_end_of_every_wait() {
    let mut inside = Inside::start(Place::Beside);
    let mut main = inside.main("echo up; exec sleep 1000");
    assert_eq!(main.line(), "up");
    let FromInit::Started { pid, .. } = main.answer() else { panic!("not started") };
    inside.around.kill().unwrap();
    assert_eq!(inside.status().signal(), Some(9));
    assert!(matches!(main.asked.next(PATIENCE), Err(LinkError::Closed)));
    assert!(matches!(inside.link.probe("/bin"), Err(LinkError::Closed)));
    assert!(matches!(inside.link.stop(LONG), Err(LinkError::Closed)));
    // Which nobody ends now, without a PID namespace around it.
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn nobody_is_waited_for_in_vain() {
    let folder = tempfile::tempdir().unwrap();
    let socket = InitSocket::bind(folder.path()).unwrap();
    assert!(matches!(socket.accept(Duration::from_millis(50), &|| false), Err(LinkError::TimedOut { .. })));
    let socket = InitSocket::bind(folder.path()).unwrap();
    assert!(matches!(socket.accept(PATIENCE, &|| true), Err(LinkError::GivenUp)));
    assert!(!folder.path().join("socket").exists(), "the socket goes with the wait");
    let socket = InitSocket::bind(folder.path()).unwrap();
    let stranger = std::os::unix::net::UnixStream::connect(folder.path().join("socket")).unwrap();
    std::io::Write::write_all(&mut &stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(matches!(socket.accept(PATIENCE, &|| false), Err(LinkError::Stranger { .. })));
}
