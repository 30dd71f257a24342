//! What a task is told of a container that it did not name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::argument::{Origin, parse_words};
use super::choose::ImageSource;
use super::conceal::quoted;
use super::facts::TaskFacts;
use super::policy::Decision;
use super::settings::ContainerSettings;

/// The arguments have a secret of the operator in them, which a task would show to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arguments of its container hold a secret, so the task is not told of them")]
pub struct HasSecrets;

impl Decision {
    /// `container` of the task as it is to be: with the image that the operator chose, and the arguments as the operator
    /// wrote them, without those that every container gets. `None` where nothing is to be told, or nothing is new.
    pub fn told(
        &self,
        settings: &ContainerSettings,
        facts: &TaskFacts,
    ) -> Result<Option<BTreeMap<String, Value>>, HasSecrets> {
        let rule = |number: usize| settings.rules.get(number.checked_sub(1)?);
        let (words, origin) = match self.source {
            ImageSource::Rule(number) => (rule(number).map(|rule| &rule.arguments), Origin::Rule),
            ImageSource::Default(_) => (Some(&settings.default.arguments), Origin::Default),
            ImageSource::Task => (None, Origin::Task),
        };
        let Some(words) = words.filter(|_| self.is_written_back) else { return Ok(None) };
        let parsed = parse_words(words.iter().cloned(), origin).unwrap_or_default();
        if parsed.iter().any(|argument| settings.concealment.argument(argument) != *argument) {
            return Err(HasSecrets);
        }
        let arguments = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let mut told = facts.task.container.clone();
        told.insert("image".to_owned(), self.image.clone().into());
        told.insert("arguments".to_owned(), arguments.into());
        told.entry("setup_shell_script".to_owned()).or_insert_with(|| self.setup_script.clone().into());
        Ok(Some(told).filter(|told| *told != facts.task.container))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::policy::decide;
    use super::super::settings::DefaultSource;
    use super::*;

    fn told(line: &[&str], container: &Value) -> Result<Option<Value>, HasSecrets> {
        let mut settings = ContainerSettings::default();
        settings.set_default(&line.iter().map(ToString::to_string).collect::<Vec<_>>(), DefaultSource::Flag);
        settings.extra_arguments = vec!["--ipc=host".into()];
        let task = serde_json::from_value(json!({ "container": container })).unwrap();
        let facts = TaskFacts { task, ..TaskFacts::default() };
        let decision = decide(&settings, &facts, &|_| None).unwrap();
        decision.told(&settings, &facts).map(|told| told.map(|told| json!(told)))
    }

    #[test]
    fn what_the_operator_chose_is_told_and_nothing_else() {
        let line = ["a:1", "-e", "A=b c", "--shm-size", "1g"];
        let expected = json!({ "image": "a:1", "arguments": "-e 'A=b c' --shm-size 1g", "setup_shell_script": "x" });
        assert_eq!(told(&line, &json!({ "setup_shell_script": "x" })), Ok(Some(expected)));
        assert_eq!(told(&line, &json!({ "image": "mine" })), Ok(None), "the task knows");
        let nothing = json!({ "image": "a:1", "arguments": "", "setup_shell_script": "" });
        assert_eq!(told(&["a:1"], &json!({})), Ok(Some(nothing)));
    }

    #[test]
    fn a_secret_is_not() {
        assert_eq!(told(&["a:1", "-e", "API_TOKEN=hunter2"], &json!({})), Err(HasSecrets));
        assert_eq!(told(&["a:1", "-e", "INDEX=https://u:hunter2@h/b"], &json!({})), Err(HasSecrets));
    }
}
