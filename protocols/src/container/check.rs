//! What is wrong with the operator's settings, told before a task meets it.

use std::collections::BTreeMap;

use regex::Regex;

use super::argument::{Origin, parse_words};
use super::facts::TaskFacts;
use super::name::container_name;
use super::rules::RULE_KEYS;
use super::settings::ContainerSettings;
use super::spec::ContainerSpec;
use super::switch::Switch;

impl ContainerSettings {
    /// What makes it impossible to run a container as it is meant, one sentence each.
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let default = (&self.default.arguments, Origin::Default);
        let rules = self.rules.iter().map(|rule| (&rule.arguments, Origin::Rule));
        for (words, origin) in [(&self.extra_arguments, Origin::Extra), default].into_iter().chain(rules) {
            let spec = parse_words(words.iter().cloned(), origin).and_then(|arguments| ContainerSpec::of(&arguments));
            errors.extend(spec.err().map(|error| error.to_string()));
        }
        for (number, rule) in self.rules.iter().enumerate() {
            let name = format!("rule {} of agent.default_docker.match_rules", number + 1);
            if rule.image.trim().is_empty() {
                errors.push(format!("{name} names no image"));
            }
            errors.extend(rule.error().map(|(pattern, error)| unreadable(&name, &pattern, &error)));
        }
        for pattern in &self.filters {
            let error = Regex::new(pattern).err();
            errors.extend(error.map(|error| unreadable("agent.docker_args_filters", pattern, &error.to_string())));
        }
        errors.extend(self.name_format.as_deref().and_then(|format| self.name_error(format)));
        errors
    }

    /// What is not understood, and so does nothing, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (key, names) in
            [("agent.forbidden_docker_args", &self.forbidden), ("agent.protected_docker_extra_args", &self.protected)]
        {
            for name in names.iter().filter(|name| Switch::find(name.trim()).is_none()) {
                let nearest = Switch::nearest(name).map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
                warnings.push(format!("{key}: `{name}` is no switch of a container{nearest}"));
            }
        }
        for (number, rule) in self.rules.iter().enumerate() {
            for condition in rule.conditions.iter().filter(|condition| !condition.is_known()) {
                warnings.push(format!(
                    "rule {} of agent.default_docker.match_rules never matches: it has the key `{}`, and the keys are {}",
                    number + 1,
                    condition.key,
                    RULE_KEYS.join(", ")
                ));
            }
        }
        warnings
    }

    fn name_error(&self, format: &str) -> Option<String> {
        let mut facts = TaskFacts { worker: "worker".to_owned(), ..TaskFacts::default() };
        facts.task.id = "task".to_owned();
        // What a field leads to is known only with a task.
        let fields: BTreeMap<String, String> =
            self.name_fields.keys().map(|name| (name.clone(), String::new())).collect();
        let error = container_name(format, &fields, &facts, "0123456789abcdef").err()?;
        Some(format!(
            "agent.docker_container_name_format: `{error}` cannot be filled; there are {{task_id}}, {{worker_id}}, \
             {{rand_string}} and what agent.docker_container_name_format_fields names"
        ))
    }
}

fn unreadable(place: &str, pattern: &str, error: &str) -> String {
    let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("{place}: `{pattern}` is no regular expression: {reason}")
}
