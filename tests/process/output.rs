//! Much output: nothing is lost, nothing is held in memory, nobody else waits.

use std::fs::File;

use crate::harness::{Daemon, Draft, Place, Server, audit, eventually};

const LINES: u64 = 2_000_000;
const LINE_BYTES: u64 = 100;
const MEMORY_LIMIT_KIB: u64 = 64 * 1024;

#[test]
fn two_hundred_megabytes_of_one_task_cost_no_memory_no_line_and_nobody_else_anything() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "2"]);
    // Every line is 100 bytes long, its number first.
    let program = format!(
        "import sys\nrest = 'x' * {rest}\nfor number in range({LINES}): sys.stdout.write('%08d %s\\n' % (number, rest))\n",
        rest = LINE_BYTES - 10
    );
    let loud = Draft::script("loud", &program).enqueue(&api);
    let mut shipped = 0;
    eventually("the first of much output", || {
        shipped = daemon.status(&place).tasks.iter().map(|task| task.shipped_bytes).sum();
        shipped > 0
    });

    let quiet = Draft::script("quiet", "print('line of the quiet task')").enqueue(&api);
    api.ended_as(&quiet, "completed");
    assert_eq!(api.console_lines(&quiet, "line of").len(), 1);
    assert_eq!(api.status(&loud), "in_progress", "the quiet task did not wait for the loud one");

    api.ended_as(&loud, "completed");
    let peak = daemon.peak_memory_kib();
    eprintln!(
        "the daemon's largest resident memory while it shipped {} MB: {} MiB",
        LINES * LINE_BYTES / 1_000_000,
        peak / 1024
    );
    assert!(peak < MEMORY_LIMIT_KIB, "the daemon had {peak} KiB");

    let mut next = 0u64;
    api.each_console_event(&loud, |message| {
        for line in message.lines() {
            let Some((number, rest)) = line.split_once(' ').filter(|(number, _)| number.len() == 8) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            assert_eq!(number, next, "a line is missing, repeated or out of order");
            assert_eq!(rest.len() as u64, LINE_BYTES - 10, "line {number} is not whole");
            next += 1;
        }
    });
    assert_eq!(next, LINES);
    audit(&place);
}

#[test]
fn a_progress_bar_is_collapsed_to_its_last_state() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let program = "import sys\n\
                   for step in range(5001):\n    sys.stdout.write('\\rprogress %d/5000' % step)\n    sys.stdout.flush()\n\
                   sys.stdout.write('\\nafter the bar\\n')\n";
    let task = Draft::script("bar", program).enqueue(&api);
    api.ended_as(&task, "completed");
    let console = api.console(&task);
    let states: Vec<&str> = console.lines().filter(|line| line.contains("progress ")).collect();
    assert_eq!(states.last().copied(), Some("progress 5000/5000"), "{states:?}");
    // While a bar is drawn, a state in between may be shown now and then; never one line per step.
    assert!(states.len() < 20, "{} states: {states:?}", states.len());
    assert_eq!(console.matches("after the bar").count(), 1);
    audit(&place);
}

#[test]
fn output_without_a_line_break_at_its_end_and_bytes_that_are_no_text_arrive() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let program = "import os\n\
                   os.write(1, 'line gr\\u00fc\\u00dfe \\u4f60\\u597d\\n'.encode())\n\
                   os.write(1, b'line \\xff\\xfe broken\\n')\n\
                   os.write(2, b'line of standard error\\n')\n\
                   os.write(1, b'line without an end')\n";
    let task = Draft::script("odd", program).enqueue(&api);
    api.ended_as(&task, "completed");
    let lines = api.console_lines(&task, "line ");
    assert_eq!(
        lines,
        ["line grüße 你好", "line \u{fffd}\u{fffd} broken", "line of standard error", "line without an end"]
    );
    audit(&place);
}

/// What shells make of `> /dev/stderr`: they open it once more, and cut off what is there where it is a file.
#[test]
fn who_opens_his_outputs_again_loses_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let program =
        "for i in 1 2 3; do echo line $i; done\necho line 4 > /dev/stderr\necho line 5 > /dev/stdout\necho line 6\n";
    let draft = Draft::script("again", program).with("binary", "bash").with("entry_point", "run.sh");
    let task = draft.enqueue(&api);
    api.ended_as(&task, "completed");
    let expected: Vec<String> = (1..=6).map(|number| format!("line {number}")).collect();
    assert_eq!(api.console_lines(&task, "line "), expected);
    audit(&place);
}

/// A full disk, or a terminal that is gone: the log is lost, and nothing else.
#[test]
fn a_log_that_cannot_be_written_ends_nobody() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut daemon = Daemon::command(&place, &server, &["--cpu-only", "--workers", "1"]);
    let mut daemon = daemon.stdout(full()).stderr(full()).spawn().unwrap();
    let task = Draft::script("logged nowhere", "print('line 0')").enqueue(&api);
    api.ended_as(&task, "completed");
    assert_eq!(api.console_lines(&task, "line"), ["line 0"]);
    assert!(daemon.try_wait().unwrap().is_none(), "the daemon goes on");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    audit(&place);
}
