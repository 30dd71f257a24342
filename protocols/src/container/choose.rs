//! Which image a task runs in, and with whose arguments.

use serde_json::Value;

use super::argument::{Argument, Origin, parse, parse_words};
use super::error::ArgumentError;
use super::facts::TaskFacts;
use super::settings::{ContainerSettings, DefaultSource};

/// Who chose an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// `container.image` of the task.
    Task,
    /// A rule of `agent.default_docker.match_rules`, counted from 1.
    Rule(usize),
    /// The daemon's default.
    Default(DefaultSource),
}

impl std::fmt::Display for ImageSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task => formatter.write_str("the task names it"),
            Self::Rule(number) => write!(formatter, "rule {number} of agent.default_docker.match_rules"),
            Self::Default(DefaultSource::Flag) => formatter.write_str("--docker"),
            Self::Default(DefaultSource::Variable) => formatter.write_str("CLEARML_DOCKER_IMAGE"),
            Self::Default(DefaultSource::Configuration) => formatter.write_str("agent.default_docker.image"),
            Self::Default(DefaultSource::Shipped) => formatter.write_str("nobody names one, and this is the default"),
        }
    }
}

/// An image, with its arguments.
pub(super) struct Choice {
    pub(super) image: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) source: ImageSource,
    pub(super) is_written_back: bool,
}

/// `container` of a task.
struct TaskContainer {
    image: String,
    arguments: String,
}

impl TaskContainer {
    fn of(facts: &TaskFacts) -> Self {
        let text = |name: &str| facts.task.container.get(name).and_then(Value::as_str).unwrap_or_default();
        let named = text("image").trim();
        // Older tasks have the arguments behind the image.
        let (image, behind) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
        let arguments = [behind.trim(), text("arguments").trim()].join(" ").trim().to_owned();
        Self { image: image.to_owned(), arguments }
    }
}

/// Chooses: a forced rule, the task, a rule, the default. Rules do not count where `--docker` named an image.
pub(super) fn choose(settings: &ContainerSettings, facts: &TaskFacts) -> Result<Choice, ArgumentError> {
    let task = TaskContainer::of(facts);
    let is_named = !task.image.is_empty() && !settings.ignores_task;
    let rules: &[_] = if settings.default.source == DefaultSource::Flag { &[] } else { &settings.rules };
    let counts = |rule: &super::rules::MatchRule| rule.is_forced || !is_named;
    if let Some(position) = rules.iter().position(|rule| counts(rule) && rule.matches(facts)) {
        let rule = &rules[position];
        return Ok(Choice {
            image: rule.image.clone(),
            arguments: parse_words(rule.arguments.iter().cloned(), Origin::Rule)?,
            source: ImageSource::Rule(position + 1),
            is_written_back: rule.is_written_back.unwrap_or(settings.default.is_written_back),
        });
    }
    if is_named {
        let arguments = parse(&task.arguments, Origin::Task)?;
        return Ok(Choice { image: task.image, arguments, source: ImageSource::Task, is_written_back: false });
    }
    let default = &settings.default;
    Ok(Choice {
        image: default.image.clone(),
        arguments: parse_words(default.arguments.iter().cloned(), Origin::Default)?,
        source: ImageSource::Default(default.source),
        is_written_back: default.is_written_back,
    })
}
