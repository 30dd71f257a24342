//! The name of a container.

use std::collections::BTreeMap;

use super::facts::{TaskFacts, text_at};
use super::template::fill_format;

/// How many random letters a format may use.
pub const RANDOM_LETTERS: usize = 32;

/// The name that `agent.docker_container_name_format` makes: with `{task_id}`, `{worker_id}`, `{rand_string}` and the
/// names of `fields`, which are paths into the task. `random` are [`RANDOM_LETTERS`] letters. What a name cannot hold
/// becomes `-`. `Err` holds the part of the format that cannot be filled.
pub fn container_name(
    format: &str,
    fields: &BTreeMap<String, String>,
    facts: &TaskFacts,
    random: &str,
) -> Result<String, String> {
    let tree = facts.tree();
    let filled = fill_format(format, |name| match name {
        "task_id" => Some(facts.task.id.clone()),
        "worker_id" => Some(facts.worker.clone()),
        "rand_string" => Some(random.chars().take(RANDOM_LETTERS).collect()),
        other => {
            let path = fields.get(other)?;
            Some(text_at(&tree["task"], path).or_else(|| text_at(&tree, path)).unwrap_or_default())
        }
    })?;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let name: String = filled.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    let name = name.trim_start_matches(['-', '_', '.']);
    if name.len() < 2 { Err(format.to_owned()) } else { Ok(name.to_owned()) }
}
