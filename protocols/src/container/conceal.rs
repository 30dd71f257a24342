//! A container's arguments as a log shows them: without secrets.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::argument::{Argument, Form};
use super::spec::ContainerSpec;

/// What a secret is replaced by, as with the stock agent.
const MASK: &str = "********";

/// Variables whose values the stock agent hides.
const SECRET_NAMES: [&str; 8] = [
    "CLEARML_AGENT_GIT_PASS",
    "TRAINS_AGENT_GIT_PASS",
    "CLEARML_API_SECRET_KEY",
    "TRAINS_API_SECRET_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
    "CLEARML_AUTH_TOKEN",
    "TRAINS_AUTH_TOKEN",
];

/// Parts of names that are given to secrets; hidden as well, which the stock agent does not do.
const SECRET_PARTS: [&str; 6] = ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "CREDENTIAL", "API_KEY"];

/// `agent.hide_docker_command_env_vars`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Concealment {
    /// `enabled` is false: everything is shown.
    pub is_off: bool,
    /// `extra_keys`, and `CLEARML_AGENT_DOCKER_ARGS_HIDE_ENV`: further variables.
    pub extra_names: Vec<String>,
    /// `parse_embedded_urls` is false: passwords in URLs are shown.
    pub shows_urls: bool,
}

impl Concealment {
    /// The value of a variable as it is shown.
    pub fn variable<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if !self.is_off && !value.is_empty() && self.is_secret(name) {
            return Cow::Borrowed(MASK);
        }
        self.text(value)
    }

    /// Any other text as it is shown.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_off || self.shows_urls || !text.contains("://") {
            return Cow::Borrowed(text);
        }
        Cow::Owned(without_passwords(text))
    }

    /// A specification as it is shown.
    pub fn specification(&self, spec: &ContainerSpec) -> ContainerSpec {
        let mut shown = spec.clone();
        let pairs = shown.labels.iter_mut().chain(&mut shown.log_options).chain(&mut shown.annotations);
        for (name, value) in pairs {
            *value = self.variable(name, value).into_owned();
        }
        for (name, value) in &mut shown.environment {
            *value = value.as_deref().map(|value| self.variable(name, value).into_owned());
        }
        let options = shown.mounts.iter_mut().flat_map(|mount| &mut mount.driver_options);
        for (_, value) in options.filter(|_| !self.is_off) {
            *value = without_passwords_of_mounts(&self.text(value));
        }
        if let Some(command) = shown.health.as_mut().and_then(|health| health.command.as_mut()) {
            *command = self.text(command).into_owned();
        }
        shown
    }

    /// The line that Docker would be given, quoted as a shell needs it.
    pub fn command_line(&self, arguments: &[Argument], image: &str, command: &[String]) -> String {
        let mut line = "docker run".to_owned();
        let shown = arguments.iter().flat_map(|argument| self.argument(argument).words());
        let command = command.iter().map(|word| self.text(word).into_owned());
        for word in shown.chain([self.text(image).into_owned()]).chain(command) {
            line.push(' ');
            line.push_str(&quoted(&word));
        }
        line
    }

    /// An argument as it is shown.
    pub fn argument(&self, argument: &Argument) -> Argument {
        let is_pair = argument.form != Form::Bare && matches!(argument.switch.long, "env" | "label" | "log-opt");
        let value = match argument.value.split_once('=').filter(|_| is_pair) {
            Some((name, value)) => format!("{name}={}", self.variable(name, value)),
            None if argument.switch.long == "mount" && !self.is_off => {
                without_passwords_of_mounts(&self.text(&argument.value))
            }
            None => self.text(&argument.value).into_owned(),
        };
        Argument { value, ..argument.clone() }
    }

    fn is_secret(&self, name: &str) -> bool {
        let upper = name.to_ascii_uppercase();
        SECRET_NAMES.contains(&upper.as_str())
            || self.extra_names.iter().any(|extra| extra == name)
            || upper.ends_with("_KEY")
            || has_secret_part(&upper)
    }
}

fn has_secret_part(upper: &str) -> bool {
    SECRET_PARTS.iter().any(|part| upper.contains(part))
}

/// Masks what a mount gives to file systems of other machines, as in `volume-opt=o=username=me,password=..`.
pub(super) fn without_passwords_of_mounts(text: &str) -> String {
    let masked = |option: &str| {
        let mut end = 0;
        for part in option.split_inclusive('=') {
            end += part.len();
            let name = part.trim_end_matches('=').trim_start_matches('"').to_ascii_uppercase();
            if part.ends_with('=') && (name == "PASS" || has_secret_part(&name)) {
                // The quotes are those of the whole field.
                let quote = if option.ends_with('"') { "\"" } else { "" };
                return format!("{}{MASK}{quote}", &option[..end]);
            }
        }
        option.to_owned()
    };
    text.split(',').map(masked).collect::<Vec<_>>().join(",")
}

/// Masks what stands for a password in every URL of a text: what follows the name of the user, or, but for ssh, a name
/// alone, which is a token.
fn without_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        rest = after;
        let end = after.find(|letter: char| letter.is_whitespace() || "/?#'\"`<>".contains(letter));
        let authority = &after[..end.unwrap_or(after.len())];
        if let Some((user, _)) = authority.rsplit_once('@') {
            match user.split_once(':') {
                Some((name, _)) => clean.extend([name, ":", MASK]),
                None if before.ends_with("ssh") => clean.push_str(user),
                None => clean.push_str(MASK),
            }
            rest = &after[user.len()..];
        }
    }
    clean.push_str(rest);
    clean
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "@%_+=:,./-".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}
