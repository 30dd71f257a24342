//! The shapes that callers of old API versions send and expect. The stock agent speaks 2.5 to this day.

use protocols::clearml::envelope::ApiVersion;
use serde_json::{Map, Value, json};

use crate::store::query::Row;

const SYSTEM_TAGS: ApiVersion = ApiVersion::new(2, 3);
const SECTIONS: ApiVersion = ApiVersion::new(2, 9);
const CONTAINER: ApiVersion = ApiVersion::new(2, 13);

/// Section of parameters that name none.
const DEFAULT_SECTION: &str = "Args";

/// Type of parameters and configurations that came in the old shape.
const LEGACY: &str = "legacy";

/// Turns the fields of a request in the old shape into today's.
pub(super) fn upgrade(version: ApiVersion, body: &mut Row) {
    if version >= CONTAINER {
        return;
    }
    let execution = body.get_mut("execution").and_then(Value::as_object_mut);
    let mut taken = Map::new();
    if let Some(execution) = execution {
        for field in ["docker_cmd", "model", "parameters", "model_desc"] {
            let is_old = matches!(field, "docker_cmd" | "model") || version < SECTIONS;
            if is_old && let Some(value) = execution.remove(field) {
                taken.insert(field.to_owned(), value);
            }
        }
    }
    if let Some(command) = taken.get("docker_cmd").and_then(Value::as_str) {
        let (image, arguments) = command.trim().split_once(char::is_whitespace).unwrap_or((command.trim(), ""));
        let container = object(body, "container");
        container.insert("image".to_owned(), json!(image));
        container.insert("arguments".to_owned(), json!(arguments.trim()));
    }
    if let Some(model) = taken.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()) {
        object(body, "models").insert("input".to_owned(), json!([{"name": "input", "model": model}]));
    }
    let output = body.get_mut("output").and_then(Value::as_object_mut).and_then(|output| output.remove("model"));
    if let Some(model) = output.as_ref().and_then(Value::as_str).filter(|model| !model.is_empty()) {
        object(body, "models").insert("output".to_owned(), json!([{"name": "output", "model": model}]));
    }
    if let Some(Value::Object(parameters)) = taken.remove("parameters") {
        for (full_name, value) in parameters {
            let (section, name) = full_name.split_once('/').unwrap_or((DEFAULT_SECTION, &full_name));
            let item = json!({"section": section, "name": name, "value": value, "type": LEGACY});
            let (section, name) = (section.to_owned(), name.to_owned());
            let sections = object(body, "hyperparams");
            object(sections, &section).insert(name, item);
        }
    }
    if let Some(Value::Object(configurations)) = taken.remove("model_desc") {
        for (name, value) in configurations {
            let item = json!({"name": name, "value": value, "type": LEGACY});
            object(body, "configuration").insert(name, item);
        }
    }
}

/// Adds to `only_fields` what the fields of the old shape are made of.
pub(super) fn upgrade_fields(version: ApiVersion, body: &mut Row) {
    if version >= CONTAINER {
        return;
    }
    for list in ["only_fields", "projection"] {
        let Some(Value::Array(fields)) = body.get_mut(list) else { continue };
        let asked = |fields: &[Value], old: &str| fields.iter().any(|field| field.as_str() == Some(old));
        let whole = |fields: &[Value]| asked(fields, "execution");
        let made_of = [
            ("execution.docker_cmd", "container", true),
            ("execution.model", "models.input", true),
            ("output.model", "models.output", true),
            ("execution.parameters", "hyperparams", version < SECTIONS),
            ("execution.model_desc", "configuration", version < SECTIONS),
        ];
        for (old, new, is_old) in made_of {
            let is_asked = asked(fields, old) || (old != "output.model" && whole(fields));
            if is_old && is_asked && !asked(fields, new) {
                fields.push(Value::from(new));
            }
        }
    }
}

/// Whether callers of this version expect tasks as they are stored.
pub(super) fn is_current(version: ApiVersion) -> bool {
    version >= CONTAINER
}

/// Gives a task the shape that a caller of this version expects.
pub(super) fn downgrade(version: ApiVersion, task: &mut Row) {
    if version >= CONTAINER {
        return;
    }
    let container = task.get("container").and_then(Value::as_object);
    let part = |name| container.and_then(|container| container.get(name)?.as_str()).unwrap_or_default();
    let command = format!("{} {}", part("image"), part("arguments")).trim().to_owned();
    let linked = |side: &str, last: bool| {
        let models = task.get("models")?.get(side)?.as_array()?;
        let model = if last { models.last()? } else { models.first()? };
        model.get("model").cloned()
    };
    let (input, output) = (linked("input", false), linked("output", true));
    if !command.is_empty() {
        object(task, "execution").insert("docker_cmd".to_owned(), json!(command));
    }
    if let Some(model) = input {
        object(task, "execution").insert("model".to_owned(), model);
    }
    if let Some(model) = output {
        object(task, "output").insert("model".to_owned(), model);
    }
    if version < SECTIONS {
        downgrade_sections(task);
    }
    if version < SYSTEM_TAGS
        && let Some(Value::Array(system_tags)) = task.remove("system_tags")
        && let Some(Value::Array(tags)) = task.get_mut("tags")
    {
        tags.extend(system_tags);
    }
}

fn downgrade_sections(task: &mut Row) {
    let is_legacy = |item: &&Value| item.get("type").and_then(Value::as_str) == Some(LEGACY);
    let mut parameters = Map::new();
    for (section, names) in task.get("hyperparams").and_then(Value::as_object).into_iter().flatten() {
        for (name, item) in names.as_object().into_iter().flatten() {
            let full_name = if section == DEFAULT_SECTION { name.clone() } else { format!("{section}/{name}") };
            if let Some(value) = Some(item).filter(is_legacy).and_then(|item| item.get("value")) {
                parameters.insert(full_name, value.clone());
            }
        }
    }
    let mut configurations = Map::new();
    for (name, item) in task.get("configuration").and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = Some(item).filter(is_legacy).and_then(|item| item.get("value")) {
            configurations.insert(name.clone(), value.clone());
        }
    }
    for (field, values) in [("parameters", parameters), ("model_desc", configurations)] {
        if !values.is_empty() {
            object(task, "execution").insert(field.to_owned(), Value::Object(values));
        }
    }
}

/// The object below `name`, made if it is not there.
fn object<'a>(parent: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made one")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: ApiVersion = ApiVersion::new(2, 5);

    fn row(value: &Value) -> Row {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_an_old_caller_writes_it_reads_back() {
        let written = json!({
            "execution": {"docker_cmd": "python:3.11 --gpus all", "model": "m1", "parameters": {"lr": "0.1", "Net/deep": "3"},
                "model_desc": {"design": "x"}, "test_split": 0},
            "output": {"model": "m2"},
        });
        let mut task = row(&written);
        upgrade(AGENT, &mut task);
        assert_eq!(task["container"], json!({"image": "python:3.11", "arguments": "--gpus all"}));
        assert_eq!(task["hyperparams"]["Net"]["deep"]["value"], "3");
        assert_eq!(task["execution"], json!({"test_split": 0}));
        downgrade(AGENT, &mut task);
        assert_eq!(task["execution"]["docker_cmd"], "python:3.11 --gpus all");
        assert_eq!(task["execution"]["parameters"], json!({"lr": "0.1", "Net/deep": "3"}));
        assert_eq!(task["execution"]["model_desc"], json!({"design": "x"}));
        assert_eq!((&task["execution"]["model"], &task["output"]["model"]), (&json!("m1"), &json!("m2")));
    }

    #[test]
    fn the_fields_of_the_old_shape_can_be_asked_for() {
        let mut body = row(&json!({"only_fields": ["id", "execution.docker_cmd", "execution.parameters"]}));
        upgrade_fields(AGENT, &mut body);
        let fields = json!(["id", "execution.docker_cmd", "execution.parameters", "container", "hyperparams"]);
        assert_eq!(body["only_fields"], fields);
        upgrade_fields(ApiVersion::new(2, 13), &mut body);
        assert_eq!(body["only_fields"], fields);
    }

    #[test]
    fn todays_callers_get_todays_shape() {
        let mut task = row(&json!({"container": {"image": "a"}, "execution": {}}));
        downgrade(ApiVersion::new(2, 23), &mut task);
        assert_eq!(task["execution"], json!({}));
    }
}
