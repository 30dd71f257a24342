//! How programs are started inside, and what they are given.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use protocols::container::init::{FromInit, Program, User};
use protocols::exit::Exit;

use crate::inside::{Inside, Place, can_unshare, text};

#[test]
fn the_greeting_says_who_it_is() {
    if !can_unshare() {
        return;
    }
    let first = Inside::start(Place::FirstAsUser(1234));
    let hello = first.link.hello();
    assert_eq!((hello.pid, hello.uid, hello.gid), (1, 1234, 1234));
    let environment: BTreeMap<_, _> = hello.environment.iter().cloned().collect();
    assert_eq!(environment[&text("GIVEN")], text("by the engine"));
    let beside = Inside::start(Place::Beside);
    assert_eq!(u32::try_from(beside.link.hello().pid).unwrap(), beside.around.id());
}

#[test]
fn programs_run_at_once_and_end_on_their_own() {
    let inside = Inside::start(Place::Beside);
    let mut first = inside.shell("echo up; read line; echo $line", |_| {});
    assert!(matches!(first.answer(), FromInit::Started { pid, .. } if pid > 1));
    assert_eq!(first.line(), "up");
    assert_eq!(
        inside.shell("echo $0 $PATH; exit 3", |_| {}).end(),
        (Exit::Code(3), "/bin/sh /usr/local/bin:/usr/bin:/bin\n".to_owned())
    );
    assert_eq!(inside.shell("kill -9 $$", |_| {}).end().0, Exit::Signal(9));
    assert_eq!(first.end(), (Exit::Code(0), "\n".to_owned()), "its standard input is empty");
}

/// Nothing of the init comes along: its signals, its variables, its process group, its descriptors.
#[test]
fn a_program_gets_what_it_is_given_and_nothing_else() {
    let inside = Inside::start(Place::Beside);
    let script = "grep -E '^Sig(Blk|Ign):' /proc/self/status; env | sort; ls -l /proc/self/fd | grep -c -e socket: -e signalfd; \
                  cut -d' ' -f1,5 /proc/$$/stat; umask; cat /proc/self/oom_score_adj; pwd";
    let started = inside.shell(script, |program| {
        program.environment.push((text("SECRET"), text("a = b\nc")));
        program.umask = Some(0o27);
        program.oom_score = Some(300);
        program.directory = Some(text("/usr"));
    });
    let FromInit::Started { pid, .. } = started.answer() else { panic!("not started") };
    let (exit, output) = started.end();
    assert_eq!(exit, Exit::Code(0));
    let lines: Vec<&str> = output.lines().collect();
    let signals = |line: &str| u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
    // The first 31: the others are the C library's, which leaves them as they were.
    assert_eq!([signals(lines[0]), signals(lines[1])].map(|set| set & 0x7fff_ffff), [0, 0], "{output}");
    // Shells add PWD and the like; nothing of what the engine gave.
    assert!(output.contains("SECRET=a = b\nc\n") && !output.contains("GIVEN"), "{output}");
    let rest = &lines[lines.len() - 5..];
    assert_eq!(rest, ["0", &format!("{pid} {pid}"), "0027", "300", "/usr"], "{output}");
}

#[test]
fn a_program_becomes_the_user_that_it_is_to_be() {
    if !can_unshare() {
        return;
    }
    let inside = Inside::start(Place::First);
    let user = User { uid: 4321, gid: 4322, groups: vec![4323, 4324] };
    let started = inside.shell("id -u; id -g; id -G; touch made", |program| {
        program.user = Some(user);
        program.directory = Some("/".into());
    });
    let (exit, output) = started.end();
    assert!(output.starts_with("4321\n4322\n4322 4323 4324\n"), "{output}");
    assert_eq!(exit, Exit::Code(1), "what is root's is not theirs");
}

#[test]
fn what_cannot_be_started_is_named() {
    let inside = Inside::start(Place::Beside);
    let script = inside.path("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let plain = inside.path("plain");
    std::fs::write(&plain, "text").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let run = |program: &str, directory: Option<&str>| {
        let program = Program { program: program.into(), directory: directory.map(Into::into), ..Program::default() };
        inside.start_program(program).refusal()
    };
    assert_eq!(
        run("no-such-program", None),
        ("there is no no-such-program on the PATH of the container".to_owned(), true)
    );
    assert_eq!(run("/no/such", None), ("there is no /no/such in the container".to_owned(), true));
    let (error, is_missing) = run(&script.display().to_string(), None);
    assert!(error.ends_with("is there, but the interpreter or loader that it asks for is not"), "{error}");
    assert!(!is_missing);
    let (error, _) = run(&plain.display().to_string(), None);
    assert!(error.contains("may not be executed by uid"), "{error}");
    let (error, _) = run("/bin/sh", Some("/no/such/folder"));
    assert_eq!(error, "the working directory /no/such/folder is not there");
    let huge = Program {
        program: "/bin/sh".into(),
        environment: vec![("HUGE".into(), "x".repeat(3 << 20).into())],
        ..Program::default()
    };
    let (error, _) = inside.start_program(huge).refusal();
    assert!(error.contains("larger than the kernel takes"), "{error}");
}

#[test]
fn a_large_environment_arrives_whole() {
    let inside = Inside::start(Place::Beside);
    let started = inside.shell("env | grep -c '^LARGE_'; env | grep '^LARGE_' | wc -c", |program| {
        let value = "v".repeat(10_000);
        program.environment.extend((0..120).map(|number| (format!("LARGE_{number:03}").into(), value.clone().into())));
    });
    // NAME=VALUE and the end of the line, of each.
    assert_eq!(started.end(), (Exit::Code(0), format!("120\n{}\n", 120 * (9 + 1 + 10_000 + 1))));
}

#[test]
fn one_main_program_is_enough() {
    let inside = Inside::start(Place::Beside);
    let mut first = inside.main("echo up; sleep 1000");
    assert_eq!(first.line(), "up");
    assert_eq!(inside.main("true").refusal().0, "a main program was started already");
}
