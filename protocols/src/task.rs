//! What is to be run: a ClearML task, validated.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clearml::tasks::{Script, Task};
use crate::ids::TaskId;

/// Which commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revision {
    /// A commit id.
    Commit(String),
    /// A tag.
    Tag(String),
    /// The head of a branch.
    Branch(String),
    /// The head of the remote's default branch.
    Default,
}

impl std::fmt::Display for Revision {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Commit(commit) => write!(formatter, "commit {commit}"),
            Self::Tag(tag) => write!(formatter, "tag {tag}"),
            Self::Branch(branch) => write!(formatter, "branch {branch}"),
            Self::Default => formatter.write_str("the default branch"),
        }
    }
}

/// Where the code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeSource {
    /// A git repository, with a diff to apply.
    Repository {
        /// As the task says it; may be any form that git takes.
        url: String,
        /// What to check out.
        revision: Revision,
        /// Uncommitted changes; empty for none.
        diff: String,
    },
    /// A repository in which the program itself is a text of the task (a notebook, say).
    RepositoryWithScript {
        /// See [`CodeSource::Repository`].
        url: String,
        /// See [`CodeSource::Repository`].
        revision: Revision,
        /// The program text, written into the working directory.
        script: String,
    },
    /// The program is a text of the task.
    Script(String),
    /// Neither: the entry point must be something that is installed (`-m module`).
    Nothing,
}

/// The kind of interpreter that `script.binary` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpreter {
    /// Python; the version, or the path, that the task was recorded with. Empty means any.
    Python {
        /// `script.binary` as the task says it, for example `python3.11` or `/usr/bin/python3`.
        binary: String,
        /// `3.11` of `python3.11`; absent where the name does not say.
        version: Option<String>,
    },
    /// `bash`, `zsh` or `sh`.
    Shell(String),
}

/// A task that can be tried: every text that matters has been looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task.
    pub id: TaskId,
    /// Its name, for people.
    pub name: String,
    /// Where the code comes from.
    pub code: CodeSource,
    /// Directory within the repository, relative, without `..`; `.` for its root.
    pub working_dir: String,
    /// Script with arguments, or `-m module ..`, exactly as given.
    pub entry_point: String,
    /// What runs it.
    pub interpreter: Interpreter,
    /// Requirement lines under `pip`; `None` where the task says nothing at all.
    pub pip_requirements: Option<Vec<String>>,
    /// The original `pip` text or list, to be kept as `org_pip` when resolved packages are written back.
    pub requirements: std::collections::BTreeMap<String, Value>,
    /// Pairs of the hyperparameter section `Environment`, which become environment variables where the
    /// configuration says so (`agent.enable_task_env`).
    pub environment: Vec<(String, String)>,
}

/// What is wrong with a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskSpecError {
    /// No `script` at all, or one that is empty throughout.
    #[error(
        "the task has no code: neither a repository, nor a script, nor an entry point; \
         create it with the SDK or with `hostler task create`"
    )]
    NoCode,
    /// A repository or a script without anything to start.
    #[error("the task has code but no entry point; set script.entry_point")]
    NoEntryPoint,
    /// The working directory leads out of the repository.
    #[error("working_dir {0:?} leads out of the code's folder")]
    WorkingDirOutside(String),
}

impl TaskSpec {
    /// Validates a task as the server gave it.
    ///
    /// Revision order is the stock agent's: commit, tag, branch, default branch. A diff that does not begin like
    /// a diff is the program itself.
    pub fn from_task(task: &Task) -> Result<Self, TaskSpecError> {
        let script = task.script.as_ref().ok_or(TaskSpecError::NoCode)?;
        let code = code_of(script);
        let entry_point = script.entry_point.trim().to_owned();
        if code == CodeSource::Nothing && entry_point.is_empty() {
            return Err(TaskSpecError::NoCode);
        }
        let interpreter = interpreter_of(&script.binary);
        let entry_point = match (&code, entry_point.is_empty()) {
            (CodeSource::Repository { .. }, true) => return Err(TaskSpecError::NoEntryPoint),
            (CodeSource::Script(_) | CodeSource::RepositoryWithScript { .. }, true) => match interpreter {
                Interpreter::Python { .. } => "untitled.py".to_owned(),
                Interpreter::Shell(_) => "untitled.sh".to_owned(),
            },
            _ => entry_point,
        };
        Ok(Self {
            id: task.task_id(),
            name: task.name.clone(),
            code,
            working_dir: working_dir_of(&script.working_dir)?,
            entry_point,
            interpreter,
            pip_requirements: script.requirements.get("pip").and_then(requirement_lines),
            requirements: script.requirements.clone(),
            environment: task
                .hyperparams
                .get("Environment")
                .map(|section| section.values().map(|item| (item.name.clone(), item.value.clone())).collect())
                .unwrap_or_default(),
        })
    }
}

impl TaskSpec {
    /// The requirement lines that the task was made with, where a run has replaced them since; see
    /// `agent.package_manager.force_original_requirements`.
    pub fn original_requirements(&self) -> Option<Vec<String>> {
        self.requirements.get("org_pip").and_then(requirement_lines)
    }

    /// Lines under `conda`.
    pub fn conda_requirements(&self) -> Option<Vec<String>> {
        self.requirements.get("conda").and_then(requirement_lines)
    }
}

fn code_of(script: &Script) -> CodeSource {
    let url = script.repository.trim().to_owned();
    let literal = is_literal_script(&script.diff);
    match (url.is_empty(), literal) {
        (true, true) => CodeSource::Script(script.diff.clone()),
        (true, false) => CodeSource::Nothing,
        (false, true) => {
            CodeSource::RepositoryWithScript { url, revision: revision_of(script), script: script.diff.clone() }
        }
        (false, false) => CodeSource::Repository { url, revision: revision_of(script), diff: script.diff.clone() },
    }
}

fn revision_of(script: &Script) -> Revision {
    let set = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    set(&script.version_num)
        .map(Revision::Commit)
        .or_else(|| set(&script.tag).map(Revision::Tag))
        .or_else(|| set(&script.branch).map(Revision::Branch))
        .unwrap_or(Revision::Default)
}

/// Whether `script.diff` is a program and not a diff: it is not empty and begins neither like `git diff` nor
/// like the diff of a submodule.
pub fn is_literal_script(diff: &str) -> bool {
    let text = diff.trim_start().to_lowercase();
    if text.is_empty() || text.starts_with("diff ") || (text.starts_with("--- ") && text.contains("\n+++ ")) {
        return false;
    }
    let mut lines = text.lines();
    let submodule = lines.next().is_some_and(|line| line.starts_with("submodule "))
        && lines.next().is_some_and(|line| line.starts_with("diff "));
    !submodule
}

fn interpreter_of(binary: &str) -> Interpreter {
    let binary = binary.trim();
    let name = binary.rsplit('/').next().unwrap_or(binary);
    if matches!(name, "bash" | "zsh" | "sh") {
        return Interpreter::Shell(binary.to_owned());
    }
    let version = name.strip_prefix("python").and_then(|rest| {
        let mut parts = rest.split('.');
        let major: u32 = parts.next()?.parse().ok()?;
        match parts.next() {
            None => Some(major.to_string()),
            Some(minor) => minor.parse::<u32>().ok().map(|minor| format!("{major}.{minor}")),
        }
    });
    Interpreter::Python { binary: binary.to_owned(), version }
}

fn working_dir_of(text: &str) -> Result<String, TaskSpecError> {
    let mut kept: Vec<&str> = Vec::new();
    for part in text.trim().split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop().ok_or_else(|| TaskSpecError::WorkingDirOutside(text.to_owned()))?;
            }
            name => kept.push(name),
        }
    }
    Ok(if kept.is_empty() { ".".to_owned() } else { kept.join("/") })
}

/// Requirement lines of one text or of a list of texts; `None` for anything else, and for nothing.
fn requirement_lines(value: &Value) -> Option<Vec<String>> {
    let lines: Vec<String> = match value {
        Value::String(text) => text.lines().map(str::to_owned).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).flat_map(str::lines).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    lines.iter().any(|line| !line.trim().is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(script: Script) -> Task {
        Task { id: "t".into(), script: Some(script), ..Task::default() }
    }

    #[test]
    fn a_task_without_code_is_refused() {
        assert_eq!(TaskSpec::from_task(&Task::default()), Err(TaskSpecError::NoCode));
        assert_eq!(TaskSpec::from_task(&task(Script::default())), Err(TaskSpecError::NoCode));
        let script = Script { repository: "https://host/r.git".into(), ..Script::default() };
        assert_eq!(TaskSpec::from_task(&task(script)), Err(TaskSpecError::NoEntryPoint));
    }

    #[test]
    fn a_commit_goes_before_a_tag_and_a_branch() {
        let script = Script {
            repository: " https://host/r.git ".into(),
            version_num: "abc".into(),
            tag: "v1".into(),
            branch: "main".into(),
            entry_point: "train.py".into(),
            ..Script::default()
        };
        let spec = TaskSpec::from_task(&task(script)).unwrap();
        let CodeSource::Repository { url, revision, .. } = spec.code else { panic!("{spec:?}") };
        assert_eq!((url.as_str(), revision), ("https://host/r.git", Revision::Commit("abc".into())));
    }

    #[test]
    fn a_diff_that_is_a_program_is_recognised() {
        assert!(is_literal_script("import os\nprint(1)\n"));
        assert!(!is_literal_script("\n diff --git a/x b/x\n"));
        assert!(!is_literal_script("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"));
        assert!(!is_literal_script("Submodule s abc..def:\ndiff --git a/x b/x\n"));
        assert!(!is_literal_script("  \n"));
        // Recorded of the stock agent. It takes `--- a/x` for code, which no program begins with.
        for diff in ["diff --git", "  Diff --git", "Submodule a\ndiff --git"] {
            assert!(!is_literal_script(diff), "{diff:?}");
        }
        for code in ["Submodule a\nfoo", "print(1)"] {
            assert!(is_literal_script(code), "{code:?}");
        }
    }

    #[test]
    fn an_interpreter_is_read_from_its_name() {
        let version = |binary: &str| match interpreter_of(binary) {
            Interpreter::Python { version, .. } => version,
            Interpreter::Shell(shell) => Some(shell),
        };
        assert_eq!(version("python"), None);
        assert_eq!(version("python3"), Some("3".into()));
        assert_eq!(version("/usr/bin/python3.10.4"), Some("3.10".into()));
        assert_eq!(version("python3.9m"), None);
        assert_eq!(version("/bin/bash"), Some("/bin/bash".into()));
        assert_eq!(version(""), None);
    }

    #[test]
    fn a_working_dir_stays_inside() {
        assert_eq!(working_dir_of("").unwrap(), ".");
        assert_eq!(working_dir_of("./a//b/../c/").unwrap(), "a/c");
        assert!(working_dir_of("a/../..").is_err());
    }

    #[test]
    fn requirements_may_be_a_text_or_a_list() {
        assert_eq!(requirement_lines(&Value::from("a==1\nb")), Some(vec!["a==1".into(), "b".into()]));
        assert_eq!(requirement_lines(&serde_json::json!(["a==1", "b\nc"])).map(|lines| lines.len()), Some(3));
        assert_eq!(requirement_lines(&Value::from(" \n")), None);
    }
}
