//! Rules that choose a container by what a task is: `agent.default_docker.match_rules`.

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts::{TaskFacts, text_at};
use super::package::{Package, is_wanted};

/// What the keys of a rule may begin with.
const REQUIREMENTS: &str = "script.requirements.";

/// The keys that a rule may have, beside those of packages below `script.requirements`.
pub const RULE_KEYS: [&str; 12] = [
    "project",
    "project_id",
    "script.repository",
    "script.branch",
    "script.binary",
    "script.entry_point",
    "user_id",
    "container",
    "tags",
    "queue",
    "script.requirements.pip",
    "script.requirements.conda",
];

/// What of a task must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// One of [`RULE_KEYS`], or `script.requirements.pip.PACKAGE`.
    pub key: String,
    /// Regular expressions that must be found in it, all of them; of a package: versions like `>=2.6,<3`.
    pub patterns: Vec<String>,
}

/// A rule of `agent.default_docker.match_rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MatchRule {
    /// The image of tasks that match.
    pub image: String,
    /// Its arguments, as words.
    pub arguments: Vec<String>,
    /// What must match, all of it. A rule without conditions matches every task.
    pub conditions: Vec<Condition>,
    /// `force_container_rules`: it counts also for tasks that name a container.
    pub is_forced: bool,
    /// `update_back_task`: the task is told; absent as for the default container.
    pub is_written_back: Option<bool>,
}

impl MatchRule {
    /// Whether a task is one of its.
    pub fn matches(&self, facts: &TaskFacts) -> bool {
        let tree = facts.tree();
        self.conditions.iter().all(|condition| condition.holds(facts, &tree))
    }

    /// Its first pattern that is no regular expression, and why.
    pub fn error(&self) -> Option<(String, String)> {
        let conditions = self.conditions.iter().filter(|condition| condition.package().is_none());
        let patterns = conditions.flat_map(|condition| &condition.patterns);
        patterns.filter_map(|pattern| Some((pattern.clone(), Regex::new(pattern).err()?.to_string()))).next()
    }
}

impl Condition {
    /// Whether its key is one.
    pub fn is_known(&self) -> bool {
        RULE_KEYS.contains(&self.key.as_str()) || self.package().is_some()
    }

    /// The manager and the package of a key for one package.
    fn package(&self) -> Option<(&str, &str)> {
        let (manager, package) = self.key.strip_prefix(REQUIREMENTS)?.split_once('.')?;
        (matches!(manager, "pip" | "conda") && !package.is_empty()).then_some((manager, package))
    }

    fn holds(&self, facts: &TaskFacts, tree: &Value) -> bool {
        if let Some((manager, name)) = self.package() {
            let lines = requirement_lines(tree, manager);
            let package = lines.iter().filter_map(|line| Package::read(line)).find(|package| package.is_named(name));
            return package.is_some_and(|package| self.patterns.iter().all(|wanted| is_wanted(&package, wanted)));
        }
        let texts = self.texts(facts, tree);
        self.patterns.iter().all(|pattern| match Regex::new(pattern) {
            Ok(pattern) => texts.iter().any(|text| pattern.is_match(text)),
            Err(_) => false,
        })
    }

    /// What the patterns are looked for in.
    fn texts(&self, facts: &TaskFacts, tree: &Value) -> Vec<String> {
        let path = match self.key.as_str() {
            "project" => "project.name",
            "project_id" => "project.id",
            "user_id" => "user.id",
            "queue" => "queue.name",
            "container" => "task.container.image",
            "tags" => return facts.task.tags.clone(),
            "script.requirements.pip" => return requirement_lines(tree, "pip"),
            "script.requirements.conda" => return requirement_lines(tree, "conda"),
            script => return text_at(tree, &format!("task.{script}")).into_iter().collect(),
        };
        text_at(tree, path).into_iter().collect()
    }
}

fn requirement_lines(tree: &Value, manager: &str) -> Vec<String> {
    let value = &tree["task"]["script"]["requirements"][manager];
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    match value {
        Value::String(text) => lines(text),
        Value::Array(items) => items.iter().filter_map(Value::as_str).flat_map(lines).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}
