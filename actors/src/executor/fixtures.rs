//! What the tests of the executor begin with.

use std::collections::BTreeMap;
use std::path::Path;

use protocols::ids::AttemptId;
use protocols::order::{ExecutorOrder, GitSettings, ORDER_VERSION, PythonSettings};
use protocols::task::{CodeSource, Interpreter, TaskSpec};

/// An order for a task without code, in `folder`.
pub(super) fn order(folder: &Path) -> ExecutorOrder {
    ExecutorOrder {
        version: ORDER_VERSION,
        task: TaskSpec {
            id: "task".into(),
            name: String::new(),
            code: CodeSource::Nothing,
            working_dir: ".".into(),
            entry_point: "-m x".into(),
            interpreter: Interpreter::Python { binary: String::new(), version: None },
            pip_requirements: None,
            requirements: BTreeMap::new(),
            environment: Vec::new(),
        },
        attempt: AttemptId::FIRST,
        pull: 3,
        token: "secret".into(),
        worker: "host:0".into(),
        socket: folder.join("socket"),
        attempt_dir: folder.to_owned(),
        cache_dir: folder.join("cache"),
        environment: BTreeMap::new(),
        removed_environment: Vec::new(),
        git: GitSettings::default(),
        python: PythonSettings::default(),
        cpus: Vec::new(),
        container: None,
        stop_grace_ms: 10_000,
    }
}
