//! Whose arguments count: the rules between a task and the operator of the machine.

use regex::Regex;
use serde_json::Value;

use super::argument::{Argument, Origin, parse_words};
use super::choose::{ImageSource, choose};
use super::error::ArgumentError;
use super::facts::TaskFacts;
use super::settings::ContainerSettings;
use super::spec::{ContainerSpec, Note};
use super::switch::Switch;
use super::template::substitute;

/// Cards of NVIDIA, as the Container Device Interface names them.
const CDI_CARDS: &str = "nvidia.com/gpu=";

/// Variables of the host, for those who may ask.
pub type HostEnvironment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why an argument does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalRule {
    /// It matches none of `agent.docker_args_filters`.
    Filters,
    /// It is one of `agent.forbidden_docker_args`.
    Forbidden,
    /// It is one of `agent.protected_docker_extra_args`, and this side, which goes first, has it too.
    Protected(Origin),
    /// It asks for a variable of the host, without `agent.docker_allow_host_environ`.
    HostEnvironment,
}

impl std::fmt::Display for RemovalRule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filters => formatter.write_str("it matches none of agent.docker_args_filters"),
            Self::Forbidden => formatter.write_str("agent.forbidden_docker_args forbids it"),
            Self::Protected(winner) => {
                write!(formatter, "it is one of agent.protected_docker_extra_args, and the one {winner} goes first")
            }
            Self::HostEnvironment => {
                formatter.write_str("a task gets variables of the host only with agent.docker_allow_host_environ")
            }
        }
    }
}

/// An argument that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The argument. Its value may be a secret.
    pub argument: Argument,
    /// Why.
    pub rule: RemovalRule,
}

impl std::fmt::Display for Removal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Argument { given, origin, .. } = &self.argument;
        write!(formatter, "`{given}` ({origin}) was left out: {}", self.rule)
    }
}

/// The container that a task gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its image.
    pub image: String,
    /// Who chose it.
    pub source: ImageSource,
    /// The arguments that count, in their order.
    pub arguments: Vec<Argument>,
    /// What they say.
    pub spec: ContainerSpec,
    /// The arguments that do not count.
    pub removed: Vec<Removal>,
    /// The arguments that have no effect.
    pub notes: Vec<Note>,
    /// `container.setup_shell_script` of the task; empty for none.
    pub setup_script: String,
    /// Whether `container` of the task is to be set to what it got.
    pub is_written_back: bool,
}

impl Decision {
    /// What the task's log must say: what was left out, and what has no effect. Nothing secret is in it.
    pub fn messages(&self) -> impl Iterator<Item = String> {
        self.removed.iter().map(ToString::to_string).chain(self.notes.iter().map(ToString::to_string))
    }
}

/// Decides which container a task gets. `host` are the variables of the agent's environment.
pub fn decide(
    settings: &ContainerSettings,
    facts: &TaskFacts,
    host: HostEnvironment<'_>,
) -> Result<Decision, ArgumentError> {
    let choice = choose(settings, facts)?;
    let mut removed = Vec::new();
    let mut own = choice.arguments;
    if choice.source == ImageSource::Task {
        let tree = facts.tree();
        own.iter_mut().for_each(|argument| fill(argument, &tree));
        own = filtered(own, &settings.filters, &mut removed);
    }
    let may_ask = choice.source != ImageSource::Task || settings.allows_host_environment;
    let own = with_host(own, host, may_ask, &mut removed);
    let extra = parse_words(settings.extra_arguments.iter().cloned(), Origin::Extra)?;
    let extra = with_host(extra, host, true, &mut removed);
    let own = allowed(own, &settings.forbidden, &mut removed);
    let extra = allowed(extra, &settings.forbidden, &mut removed);
    let (first, second) = if settings.task_precedes_extra { (own, extra) } else { (extra, own) };
    let second = unprotected(second, &first, &settings.protected, &mut removed);
    let arguments: Vec<Argument> = first.into_iter().chain(second).collect();
    let (spec, mut notes) = ContainerSpec::of(&arguments)?;
    if let Some(card) = spec.cdi_devices.iter().find(|device| device.starts_with(CDI_CARDS)) {
        let why = "which cards a task has is decided by its queue and its demand, not by the names of cards";
        notes.push(Note { switch: format!("--device {card}"), why: why.to_owned() });
    }
    let setup_script = facts.task.container.get("setup_shell_script").and_then(Value::as_str).unwrap_or_default();
    let (image, source, is_written_back) = (choice.image, choice.source, choice.is_written_back);
    let setup_script = setup_script.to_owned();
    Ok(Decision { image, source, arguments, spec, removed, notes, setup_script, is_written_back })
}

/// Replaces placeholders in a value of the task.
fn fill(argument: &mut Argument, tree: &Value) {
    if argument.value.contains("${") {
        argument.value = substitute(&argument.value, tree);
    }
}

/// Keeps what matches one of the patterns, from the beginning of the switch as it was written.
fn filtered(arguments: Vec<Argument>, patterns: &[String], removed: &mut Vec<Removal>) -> Vec<Argument> {
    if patterns.is_empty() {
        return arguments;
    }
    // A pattern that is none was refused when the configuration was read; here it lets nothing through.
    let patterns: Vec<Regex> =
        patterns.iter().filter_map(|pattern| Regex::new(&format!("^(?:{pattern})")).ok()).collect();
    let is_kept = |argument: &Argument| patterns.iter().any(|pattern| pattern.is_match(&argument.first_word()));
    sift(arguments, RemovalRule::Filters, removed, is_kept)
}

/// Takes out switches that nobody may use.
fn allowed(arguments: Vec<Argument>, forbidden: &[String], removed: &mut Vec<Removal>) -> Vec<Argument> {
    let forbidden = switches(forbidden);
    sift(arguments, RemovalRule::Forbidden, removed, |argument| !forbidden.contains(&argument.switch))
}

/// Takes out protected switches that those who go first have as well.
fn unprotected(
    arguments: Vec<Argument>,
    first: &[Argument],
    protected: &[String],
    removed: &mut Vec<Removal>,
) -> Vec<Argument> {
    let protected = switches(protected);
    let Some(winner) = first.first().map(|argument| argument.origin) else { return arguments };
    sift(arguments, RemovalRule::Protected(winner), removed, |argument| {
        !protected.contains(&argument.switch) || !first.iter().any(|other| other.switch == argument.switch)
    })
}

fn switches(names: &[String]) -> Vec<&'static Switch> {
    names.iter().filter_map(|name| Switch::find(name.trim())).collect()
}

fn sift(
    arguments: Vec<Argument>,
    rule: RemovalRule,
    removed: &mut Vec<Removal>,
    is_kept: impl Fn(&Argument) -> bool,
) -> Vec<Argument> {
    let (kept, gone): (Vec<_>, Vec<_>) = arguments.into_iter().partition(is_kept);
    removed.extend(gone.into_iter().map(|argument| Removal { argument, rule }));
    kept
}

/// Gives variables the values of the host: `-e NAME`, and `$NAME` and `${NAME}` in values of `-e`, for those who may.
/// Without permission a `$` is a letter like any other, and `-e NAME` is left out.
fn with_host(
    arguments: Vec<Argument>,
    host: HostEnvironment<'_>,
    may_ask: bool,
    removed: &mut Vec<Removal>,
) -> Vec<Argument> {
    let is_variable = |argument: &Argument| argument.switch.long == "env";
    if !may_ask {
        let asks = |argument: &Argument| is_variable(argument) && !argument.value.contains('=');
        return sift(arguments, RemovalRule::HostEnvironment, removed, |argument| !asks(argument));
    }
    let given = |mut argument: Argument| {
        if is_variable(&argument) {
            argument.value = match argument.value.split_once('=') {
                Some((name, value)) => format!("{name}={}", expanded(value, host)),
                // What the host does not have stays without a value, and so takes the image's away, as with Docker.
                None => host(&argument.value).map_or(argument.value.clone(), |value| {
                    let name = &argument.value;
                    format!("{name}={value}")
                }),
            };
        }
        argument
    };
    arguments.into_iter().map(given).collect()
}

/// Replaces `$NAME` and `${NAME}`; what the host does not have stays as it stands.
fn expanded(text: &str, host: HostEnvironment<'_>) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let length = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let (name, behind) = braced.unwrap_or_else(|| after.split_at(length.unwrap_or(after.len())));
        match host(name).filter(|_| !name.is_empty()) {
            Some(value) => done.push_str(&value),
            None => {
                done.push('$');
                done.push_str(&after[..after.len() - behind.len()]);
            }
        }
        rest = behind;
    }
    done.push_str(rest);
    done
}
