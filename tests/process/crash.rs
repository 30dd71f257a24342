//! `kill -9` of the daemon, of the server, of an executor, of everything: what runs, runs on; nothing runs twice;
//! no line is lost or repeated.

use protocols::order::Progress;

use crate::harness::{Api, Daemon, Draft, Gate, Place, Server, audit, eventually, is_alive, lines_with};

const WORKERS: usize = 8;
const TASKS: usize = 28;
const LINES: usize = 100;

/// Many tasks: even ones wait for the first gate, odd ones for the second; each leaves one line in the file `ran`.
struct Herd {
    tasks: Vec<String>,
    first: Gate,
    second: Gate,
}

impl Herd {
    fn enqueue(place: &Place, api: &Api) -> Self {
        let (first, second) = (Gate::shut(&place.path("first.gate")), Gate::shut(&place.path("second.gate")));
        let tasks = (0..TASKS)
            .map(|number| {
                let gate = if number % 2 == 0 { &first } else { &second };
                let program = format!(
                    "import os\n\
                     with open({ran:?}, 'a') as ran: ran.write('{number} %d\\n' % os.getpid())\n\
                     for line in range({LINES}): print('before', line, flush=True)\n\
                     {gate}\n\
                     for line in range({LINES}): print('after', line, flush=True)\n",
                    ran = place.path("ran"),
                    gate = gate.python(),
                );
                Draft::script(&format!("task {number}"), &program).enqueue(api)
            })
            .collect();
        Self { tasks, first, second }
    }

    /// Waits until every worker has user code that runs.
    fn wait_until_running(&self, place: &Place) {
        eventually("one running task per worker", || place.lines("ran").len() == WORKERS);
    }

    /// The user's processes that have started, by task number.
    fn started(place: &Place) -> Vec<(usize, i32)> {
        let parse = |line: &String| {
            let (number, pid) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), pid.parse().unwrap())
        };
        place.lines("ran").iter().map(parse).collect()
    }

    fn check_each_ran_once(place: &Place) {
        let mut numbers: Vec<usize> = Self::started(place).into_iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..TASKS).collect::<Vec<_>>(), "each task runs exactly once");
    }

    #[track_caller]
    fn check_console(api: &Api, task: &str) {
        let whole = api.console_lines(task, "before ") == lines_with("before", LINES)
            && api.console_lines(task, "after ") == lines_with("after", LINES);
        assert!(whole, "lines of task {task} are lost, repeated or out of order:\n{}", api.console_outline(task));
    }

    /// All completed, each once, each console whole.
    fn check_all_completed(&self, place: &Place, api: &Api) {
        for task in &self.tasks {
            api.ended_as(task, "completed");
        }
        Self::check_each_ran_once(place);
        for task in &self.tasks {
            Self::check_console(api, task);
        }
    }
}

fn arguments() -> [String; 3] {
    ["--cpu-only".to_owned(), "--workers".to_owned(), WORKERS.to_string()]
}

fn start_daemon(place: &Place, server: &Server) -> Daemon {
    Daemon::start(place, server, &arguments().each_ref().map(String::as_str))
}

fn ended_executors(daemon: &Daemon) -> usize {
    daemon.executors().iter().filter(|record| matches!(record.progress, Progress::Ended(..))).count()
}

#[test]
fn killing_the_daemon_loses_and_repeats_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut daemon = start_daemon(&place, &server);
    let mut herd = Herd::enqueue(&place, &api);
    herd.wait_until_running(&place);

    daemon.kill();
    // Half of the running tasks end while no daemon is there to see it.
    herd.first.open();
    eventually("the end of the even tasks", || ended_executors(&daemon) == WORKERS / 2);
    let _daemon = start_daemon(&place, &server);
    herd.second.open();

    herd.check_all_completed(&place, &api);
    audit(&place);
}

#[test]
fn a_daemon_that_is_terminated_leaves_its_tasks_running() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let mut daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let mut gate = Gate::shut(&place.path("gate"));
    let program = format!("print('before 0', flush=True)\n{}\nprint('after 0', flush=True)\n", gate.python());
    let task = Draft::script("survivor", &program).enqueue(&api);
    eventually("the first line", || api.console_lines(&task, "before").len() == 1);

    let executor = daemon.executor_of(&task);
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(is_alive(executor.pid), "the executor outlives its daemon (E1)");
    let _daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    gate.open();
    api.ended_as(&task, "completed");
    assert_eq!(api.console_lines(&task, "after"), ["after 0"]);
    audit(&place);
}

#[test]
fn killing_the_server_loses_and_repeats_nothing() {
    let place = Place::new();
    let mut server = Server::start_to_restart(&place);
    let api = server.api();
    let mut daemon = start_daemon(&place, &server);
    let mut herd = Herd::enqueue(&place, &api);
    herd.wait_until_running(&place);

    server.kill();
    // Half of the running tasks end while no server is there to be told.
    herd.first.open();
    eventually("the end of the even tasks", || ended_executors(&daemon) >= WORKERS / 2);
    assert!(daemon.ended().is_none(), "the daemon outlives the server");
    server.restart(&place);
    herd.second.open();

    herd.check_all_completed(&place, &server.api());
    audit(&place);
}

#[test]
fn killing_an_executor_fails_its_task_and_no_other() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "2"]);
    let mut gate = Gate::shut(&place.path("gate"));
    let program = |name: &str| {
        format!(
            "import os\nopen({:?}, 'a').write('{name} %d\\n' % os.getpid())\nprint('line 0', flush=True)\n{}\nprint('line 1')\n",
            place.path("ran"),
            gate.python()
        )
    };
    let lost = Draft::script("lost", &program("lost")).enqueue(&api);
    let kept = Draft::script("kept", &program("kept")).enqueue(&api);
    let waiting = Draft::script("waiting", &program("waiting")).enqueue(&api);
    eventually("two running tasks", || place.lines("ran").len() == 2);
    eventually("its first line", || api.console_lines(&lost, "line").len() == 1);
    let user: i32 = place.lines("ran").iter().find_map(|line| line.strip_prefix("lost ")).unwrap().parse().unwrap();

    let executor = daemon.executor_of(&lost);
    crate::harness::kill(executor.pid);
    let ended = api.ended_as(&lost, "failed");
    let reason = ended["status_reason"].as_str().unwrap();
    assert!(reason.contains("infrastructure"), "{reason}");
    assert!(!is_alive(user), "what a dead executor left behind is killed before its slot is given away (F1)");
    assert_eq!(api.console_lines(&lost, "line"), ["line 0"], "what it had printed is there");

    gate.open();
    for task in [&kept, &waiting] {
        api.ended_as(task, "completed");
        assert_eq!(api.console_lines(task, "line"), ["line 0", "line 1"]);
    }
    assert_eq!(place.lines("ran").len(), 3, "each ran once: {:?}", place.lines("ran"));
    audit(&place);
}

#[test]
fn an_executor_killed_before_user_code_is_replaced() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = server.api();
    let daemon = Daemon::start(&place, &server, &["--cpu-only", "--workers", "1"]);
    let mut gate = Gate::shut(&place.path("gate"));
    let requirement = crate::harness::slow_package(&place, &gate);
    let program = format!("open({:?}, 'a').write('ran\\n')\nprint('line 0')\n", place.path("ran"));
    let task = Draft::script("slow to prepare", &program).requirements(&requirement).enqueue(&api);
    eventually("the start of the build", || !place.lines("building").is_empty());

    let executor = daemon.executor_of(&task);
    crate::harness::kill(executor.pid);
    eventually("another build", || place.lines("building").len() > 1);
    gate.open();
    api.ended_as(&task, "completed");
    assert_eq!(place.lines("ran"), ["ran"]);
    assert_eq!(api.console_lines(&task, "line"), ["line 0"]);
    audit(&place);
}

#[test]
fn killing_everything_at_once_fails_what_ran_and_completes_what_waited() {
    let place = Place::new();
    let mut server = Server::start_to_restart(&place);
    let api = server.api();
    let mut daemon = start_daemon(&place, &server);
    let mut herd = Herd::enqueue(&place, &api);
    herd.wait_until_running(&place);
    let running = Herd::started(&place);

    // The user's processes are left alive: finding them is the daemon's duty.
    daemon.kill();
    server.kill();
    daemon.kill_executors();
    server.restart(&place);
    let _daemon = start_daemon(&place, &server);
    let api = server.api();
    for (number, user) in &running {
        let ended = api.ended_as(&herd.tasks[*number], "failed");
        let reason = ended["status_reason"].as_str().unwrap();
        assert!(reason.contains("infrastructure"), "{reason}");
        assert!(!is_alive(*user), "task {number} is failed and still runs");
    }
    herd.first.open();
    herd.second.open();
    for (number, task) in herd.tasks.iter().enumerate() {
        if !running.iter().any(|(ran, _)| *ran == number) {
            api.ended_as(task, "completed");
            Herd::check_console(&api, task);
        }
    }
    Herd::check_each_ran_once(&place);
    audit(&place);
}
