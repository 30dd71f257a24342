//! The crash matrix: the daemon dies at every append to its journal, just before it and just after it; the next one
//! brings every task to the end that it has without any crash.

use std::collections::BTreeMap;

use crate::harness::{
    Api, Daemon, Draft, PATIENCE, Place, Server, appended, check_journal, eventually_some, new_repository, within,
};

/// How a task ended: status, failure class, how often user code ran, the lines that it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    status: String,
    reason_has: Option<&'static str>,
    ran: usize,
    lines: Vec<String>,
}

/// One task that completes, one that is aborted while it runs, one whose commit does not exist, one that fails.
struct Scenario {
    tasks: BTreeMap<&'static str, String>,
    number: u64,
    aborted: bool,
}

impl Scenario {
    fn enqueue(place: &Place, api: &Api, number: u64) -> Self {
        let program = |name: &str, then: &str| {
            format!(
                "open({:?}, 'a').write('{name}\\n')\nfor line in range(3): print('line', line, flush=True)\n{then}\n",
                place.path(&format!("ran-{number}"))
            )
        };
        let repository = place.path("repository");
        let printed = place.path(&format!("printed-{number}"));
        let waits = format!("open({printed:?}, 'w').close()\nimport signal\nwhile True: signal.pause()");
        let drafts = [
            ("completes", Draft::script("completes", &program("completes", ""))),
            ("aborted", Draft::script("aborted", &program("aborted", &waits))),
            (
                "bad commit",
                Draft::repository("bad commit", repository.to_str().unwrap(), "run.py")
                    .with("version_num", "0123456789012345678901234567890123456789"),
            ),
            ("fails", Draft::script("fails", &program("fails", "raise SystemExit(3)"))),
        ];
        let tasks = drafts.into_iter().map(|(name, draft)| (name, draft.enqueue(api))).collect();
        Self { tasks, number, aborted: false }
    }

    fn ran(&self, place: &Place, name: &str) -> usize {
        place.lines(&format!("ran-{}", self.number)).iter().filter(|line| *line == name).count()
    }

    /// Brings the scenario on: the abort comes once its task has printed. True when all tasks have ended.
    fn advance(&mut self, place: &Place, api: &Api) -> bool {
        if !self.aborted && place.path(&format!("printed-{}", self.number)).exists() {
            api.call("tasks.stop", serde_json::json!({ "task": self.tasks["aborted"] }));
            self.aborted = true;
        }
        self.tasks.values().all(|task| ["completed", "failed", "stopped"].contains(&api.status(task).as_str()))
    }

    fn ends(&self, place: &Place, api: &Api) -> BTreeMap<&'static str, End> {
        let end = |name: &&'static str, task: &String| {
            let found = api.task(task);
            let reason = found["status_reason"].as_str().unwrap_or_default();
            let classes = ["infrastructure", "environment", "code", "user"];
            End {
                status: found["status"].as_str().unwrap_or_default().to_owned(),
                reason_has: classes.into_iter().find(|class| reason.contains(class)),
                ran: self.ran(place, name),
                lines: api.console_lines(task, "line "),
            }
        };
        self.tasks.iter().map(|(name, task)| (*name, end(name, task))).collect()
    }
}

const ARGUMENTS: [&str; 3] = ["--cpu-only", "--workers", "2"];

/// Runs the scenario with a daemon that has these variables; a daemon that dies is followed by one without them.
/// Gives the ends, how many entries the journal was given, and how many daemons died.
fn run(
    place: &Place,
    server: &Server,
    api: &Api,
    number: u64,
    variables: &[(&str, &str)],
) -> (BTreeMap<&'static str, End>, u64, u32) {
    let state = place.path("state");
    let _ = std::fs::remove_dir_all(&state);
    let mut scenario = Scenario::enqueue(place, api, number);
    let mut daemon = Daemon::start_with(place, server, &ARGUMENTS, variables);
    let mut deaths = 0;
    eventually_some("the end of every task", || {
        if daemon.ended().is_some() {
            deaths += 1;
            daemon = Daemon::start_with(place, server, &ARGUMENTS, &[]);
        }
        scenario.advance(place, api).then_some(())
    });
    // The server knows; the journal's last entries may still be under way, or the cause of one more death.
    within(PATIENCE, "a journal without open runs", || {
        if daemon.ended().is_some() {
            deaths += 1;
            daemon = Daemon::start_with(place, server, &ARGUMENTS, &[]);
        }
        check_journal(&state)?;
        nothing_is_left(place)
    });
    let appended = appended(&state);
    daemon.kill();
    (scenario.ends(place, api), appended, deaths)
}

/// Whether no attempt's folder is left that a daemon still has to look at.
fn nothing_is_left(place: &Place) -> Result<(), String> {
    let Ok(entries) = std::fs::read_dir(place.path("state/attempts")) else { return Ok(()) };
    let left: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("attempts are left: {left:?}")) }
}

fn check_every_append(variable: &str) {
    let place = Place::new();
    new_repository(&place.path("repository"), &[("run.py", "print('line 0')\n")]);
    let server = Server::start(&place);
    let api = server.api();
    let (uncrashed, appended, deaths) = run(&place, &server, &api, 0, &[]);
    assert_eq!(deaths, 0);
    let end = |status: &str, reason_has, ran, lines: &[&str]| End {
        status: status.to_owned(),
        reason_has,
        ran,
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    let three = ["line 0", "line 1", "line 2"];
    assert_eq!(uncrashed["completes"].status, "completed");
    assert_eq!(uncrashed["fails"], end("failed", uncrashed["fails"].reason_has, 1, &three));
    assert_eq!(uncrashed["bad commit"], end("failed", Some("code"), 0, &[]));
    assert_eq!(uncrashed["aborted"], end("stopped", uncrashed["aborted"].reason_has, 1, &three));
    assert!(appended >= 4 * 5, "only {appended} entries: is the journal written before the effects?");

    let mut crashed = 0;
    for append in 1..=appended {
        let (ends, _, deaths) = run(&place, &server, &api, append, &[(variable, &append.to_string())]);
        assert_eq!(ends, uncrashed, "{variable}={append}");
        crashed += deaths;
    }
    // Appends of different tasks interleave as they like, so a late number may not be reached; nearly all are.
    assert!(u64::from(crashed) + 4 >= appended, "{crashed} crashes for {appended} appends");
}

#[test]
fn a_crash_right_after_any_append_changes_no_end() {
    check_every_append("HOSTLER_TEST_ABORT_AFTER_APPENDS");
}

#[test]
fn a_crash_right_before_any_append_changes_no_end() {
    check_every_append("HOSTLER_TEST_ABORT_BEFORE_APPEND");
}
