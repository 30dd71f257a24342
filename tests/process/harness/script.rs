//! Tasks as tests make them.

use serde_json::{Value, json};

use super::Api;

/// A task that is not made yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    name: String,
    script: Value,
}

impl Draft {
    /// A literal script without requirements.
    pub(crate) fn script(name: &str, program: &str) -> Self {
        let script = json!({ "binary": "python3", "entry_point": "program.py", "working_dir": ".", "diff": program });
        Self { name: name.to_owned(), script }
    }

    /// A program in a repository.
    pub(crate) fn repository(name: &str, url: &str, entry_point: &str) -> Self {
        let script = json!({ "binary": "python3", "repository": url, "entry_point": entry_point, "working_dir": ".", "diff": "" });
        Self { name: name.to_owned(), script }
    }

    /// Gives it another name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets a field of `script`.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.script[field] = value.into();
        self
    }

    /// Sets the requirements.
    pub(crate) fn requirements(self, lines: &str) -> Self {
        self.with("requirements", json!({ "pip": lines }))
    }

    /// Makes it on the server. Gives its id.
    #[track_caller]
    pub(crate) fn create(&self, api: &Api) -> String {
        let body = json!({ "name": self.name, "type": "training", "script": self.script });
        api.call("tasks.create", body)["id"].as_str().unwrap().to_owned()
    }

    /// Makes it and puts it into the queue `default`. Gives its id.
    #[track_caller]
    pub(crate) fn enqueue(&self, api: &Api) -> String {
        let task = self.create(api);
        api.enqueue(&task, "default");
        task
    }
}

/// `PREFIX 0` to `PREFIX count-1`.
pub(crate) fn lines_with(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix} {number}")).collect()
}
