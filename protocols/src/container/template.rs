//! Placeholders in the arguments of a task, and in the names of containers.

use serde_json::Value;

use super::facts::text_at;

/// What every placeholder begins with.
const PREFIX: &str = "${CLEARML_";

/// Replaces `${CLEARML_TASK.name}`, `${CLEARML_QUEUE_NAME:default}` and the like: what follows `CLEARML_` is a path into
/// what is known of the task, with a dot or a `_` after its first word. What is not known stays as it stands, unless a
/// default follows a colon.
pub(super) fn substitute(text: &str, facts: &Value) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(PREFIX) {
        done.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            done.push_str(PREFIX);
            rest = after;
            continue;
        };
        let (name, default) = match inside.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        match look_up(name, facts).or_else(|| default.map(str::to_owned)) {
            Some(value) => done.push_str(&value),
            None => done.extend([PREFIX, inside, "}"]),
        }
        rest = behind;
    }
    done.push_str(rest);
    done
}

fn look_up(name: &str, facts: &Value) -> Option<String> {
    let (root, path) = name.split_once(['.', '_']).unwrap_or((name, ""));
    let root = root.to_ascii_lowercase();
    if path.is_empty() { text_at(facts, &format!("{root}.id")) } else { text_at(facts, &format!("{root}.{path}")) }
}

/// Fills a format of Python: `{name}`, `{name:.8}` for its first eight letters, `{{` and `}}` for braces. `Err` holds
/// what cannot be filled.
pub fn fill_format(format: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(format.len());
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let from = &rest[at..];
        if from.starts_with("{{") || from.starts_with("}}") {
            filled.push_str(&from[..1]);
            rest = &from[2..];
            continue;
        }
        let field = from.strip_prefix('{').and_then(|field| field.split_once('}'));
        let Some((field, behind)) = field else { return Err(from.to_owned()) };
        filled.push_str(&fill_field(field, &value).ok_or_else(|| format!("{{{field}}}"))?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn fill_field(field: &str, value: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let (name, form) = field.split_once(':').unwrap_or((field, ""));
    let text = value(name.strip_suffix("!s").unwrap_or(name))?;
    if form.is_empty() || form == "s" {
        return Some(text);
    }
    let length: usize = form.strip_prefix('.')?.trim_end_matches('s').parse().ok()?;
    Some(text.chars().take(length).collect())
}
