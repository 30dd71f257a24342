//! One row of the table, and how a table is run.

use serde_json::Value;

use crate::harness::{Api, Daemon, Draft, Place, Server, audit};

/// A task, and what must come of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    name: String,
    draft: Draft,
    end: End,
    /// Texts that the console must have.
    says: Vec<String>,
    /// Texts that the console must not have.
    never_says: Vec<String>,
    /// Requirement lines that must have been written back.
    reports: Vec<String>,
    /// Beginnings of requirement lines that must not have been.
    never_reports: Vec<String>,
    /// The commit that must have been written back.
    commit: Option<String>,
}

#[derive(Clone, Debug)]
enum End {
    /// With exit code 0 and exactly these `OUT` lines.
    Completes(Vec<String>),
    /// With a failure class and texts that `status_reason` must have.
    Fails { class: &'static str, names: Vec<String> },
}

impl Row {
    /// A task that completes, after it has printed exactly these lines behind `OUT `.
    pub(super) fn completes(name: &str, draft: Draft, lines: &[&str]) -> Self {
        Self::new(name, draft, End::Completes(texts(lines)))
    }

    /// A task that fails with this class; `status_reason` is one line with all these texts.
    pub(super) fn fails(name: &str, draft: Draft, class: &'static str, names: &[&str]) -> Self {
        Self::new(name, draft, End::Fails { class, names: texts(names) })
    }

    fn new(name: &str, draft: Draft, end: End) -> Self {
        Self {
            draft: draft.named(&format!("row: {name}")),
            name: name.to_owned(),
            end,
            says: Vec::new(),
            never_says: Vec::new(),
            reports: Vec::new(),
            never_reports: Vec::new(),
            commit: None,
        }
    }

    /// Replaces everything that the task says about requirements.
    pub(super) fn with_requirements(mut self, requirements: Value) -> Self {
        self.draft = self.draft.with("requirements", requirements);
        self
    }

    pub(super) fn says(mut self, text: &str) -> Self {
        self.says.push(text.to_owned());
        self
    }

    pub(super) fn never_says(mut self, text: &str) -> Self {
        self.never_says.push(text.to_owned());
        self
    }

    pub(super) fn reports(mut self, line: &str) -> Self {
        self.reports.push(line.to_owned());
        self
    }

    pub(super) fn never_reports(mut self, start: &str) -> Self {
        self.never_reports.push(start.to_owned());
        self
    }

    pub(super) fn at_commit(mut self, commit: &str) -> Self {
        self.commit = Some(commit.to_owned());
        self
    }

    /// What is wrong with how the task ended.
    fn complaints(&self, api: &Api, task: &str) -> Vec<String> {
        let ended = api.ended(task);
        let console = api.console(task);
        let mut wrong = Vec::new();
        let reason = ended["status_reason"].as_str().unwrap_or_default();
        match &self.end {
            End::Completes(lines) => {
                if ended["status"] != "completed" {
                    wrong.push(format!("is {} ({reason})", ended["status"]));
                }
                let printed: Vec<&str> = console.lines().filter_map(|line| line.strip_prefix("OUT ")).collect();
                if printed != *lines {
                    wrong.push(format!("printed {printed:?} and not {lines:?}"));
                }
            }
            End::Fails { class, names } => {
                if ended["status"] != "failed" || !reason.contains(class) || reason.lines().count() != 1 {
                    wrong.push(format!("is {} ({reason:?}) and not failed ({class})", ended["status"]));
                }
                let missing = names.iter().filter(|name| !reason.contains(*name));
                wrong.extend(missing.map(|name| format!("{name:?} is not in the reason {reason:?}")));
                if console.contains("panicked") {
                    wrong.push("something panicked".to_owned());
                }
            }
        }
        let missing = self.says.iter().filter(|text| !console.contains(*text));
        wrong.extend(missing.map(|text| format!("does not say {text:?}")));
        let said = self.never_says.iter().filter(|text| console.contains(*text));
        wrong.extend(said.map(|text| format!("says {text:?}")));
        let reported = requirement_lines(&ended);
        let missing = self.reports.iter().filter(|line| !reported.contains(line));
        wrong.extend(missing.map(|line| format!("does not report {line:?}, but {reported:?}")));
        let found = self.never_reports.iter().filter(|start| reported.iter().any(|line| line.starts_with(*start)));
        wrong.extend(found.map(|start| format!("reports {start:?} in {reported:?}")));
        if let Some(commit) = self.commit.as_ref().filter(|commit| ended["script"]["version_num"] != **commit) {
            wrong.push(format!("is at {} and not {commit}", ended["script"]["version_num"]));
        }
        if !wrong.is_empty() {
            wrong.push(format!("console:\n{console}"));
        }
        wrong
    }
}

/// A server and a daemon for one table.
pub(super) struct Table {
    pub(super) api: Api,
    place: Place,
    _daemon: Daemon,
    _server: Server,
}

impl Table {
    /// Starts both, in a place that may be prepared; the daemon gets these variables.
    pub(super) fn start(place: Place, environment: &[(&str, &str)]) -> Self {
        let server = Server::start(&place);
        let api = server.api();
        let daemon = Daemon::start_with(&place, &server, &["--cpu-only", "--workers", "3"], environment);
        Self { api, place, _daemon: daemon, _server: server }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Runs all rows at once, waits for the last, and fails with everything that is wrong.
    pub(super) fn run(&self, rows: &[Row]) {
        let tasks: Vec<String> = rows.iter().map(|row| row.draft.enqueue(&self.api)).collect();
        let mut wrong = Vec::new();
        for (row, task) in rows.iter().zip(&tasks) {
            let complaints = row.complaints(&self.api, task);
            if !complaints.is_empty() {
                wrong.push(format!("=== {}: {}", row.name, complaints.join("\n    ")));
            }
        }
        assert!(wrong.is_empty(), "{} of {} rows\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    }

    /// Ends the table: the journal must be legal.
    pub(super) fn finish(self) {
        audit(&self.place);
    }
}

/// Tasks run with the machine's interpreter: for tables in which packages do not matter.
pub(super) const NO_PACKAGES: (&str, &str) = ("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1");

fn texts(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn requirement_lines(task: &Value) -> Vec<String> {
    match &task["script"]["requirements"]["pip"] {
        Value::String(text) => text.lines().map(str::to_owned).collect(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}
