//! Which workers there are.

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use protocols::clearml::error::ApiError;

use crate::company::{COMPANY, COMPANY_NAME};
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::workers::{self, Worker};
use crate::store::{Snapshot, StoreResult, queues, tasks, users};
use crate::time::{self, Micros};

/// Seconds since its last activity after which [`get_all`] leaves a worker out, unless asked otherwise.
const LAST_SEEN: i64 = 3600;

#[derive(Deserialize)]
struct Filter {
    last_seen: Option<f64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    system_tags: Vec<String>,
    worker_pattern: Option<String>,
}

/// Workers with what they run and the queues that they serve.
pub(super) async fn get_all(state: &State, call: &Call) -> Reply {
    let filter: Filter = call.arguments()?;
    let now = time::now();
    let filter = Selection::new(&filter, LAST_SEEN as f64, now)?;
    let workers = state
        .store
        .read(move |connection| {
            let workers = workers::list(connection, now)?;
            workers.iter().filter(|worker| filter.takes(worker)).map(|worker| shown(connection, worker)).collect()
        })
        .await?;
    Ok(json!({"workers": Value::Array(workers)}))
}

/// How many workers [`get_all`] would show.
pub(super) async fn get_count(state: &State, call: &Call) -> Reply {
    let filter: Filter = call.arguments()?;
    let now = time::now();
    let filter = Selection::new(&filter, 0.0, now)?;
    let workers = state.store.read(move |connection| workers::list(connection, now)).await?;
    Ok(json!({"count": workers.iter().filter(|worker| filter.takes(worker)).count()}))
}

/// Which workers are wanted.
struct Selection {
    active_since: Micros,
    tags: Vec<String>,
    system_tags: Vec<String>,
    name: Option<Regex>,
}

impl Selection {
    fn new(filter: &Filter, default_last_seen: f64, now: Micros) -> Result<Self, ApiError> {
        let seconds = filter.last_seen.unwrap_or(default_last_seen);
        let active_since = if seconds > 0.0 { now.saturating_sub((seconds * 1e6) as Micros) } else { Micros::MIN };
        let name = filter.worker_pattern.as_deref().map(glob).transpose()?;
        Ok(Self { active_since, tags: filter.tags.clone(), system_tags: filter.system_tags.clone(), name })
    }

    fn takes(&self, worker: &Worker) -> bool {
        worker.last_activity_time >= self.active_since
            && has_tags(&worker.tags, &self.tags)
            && has_tags(&worker.system_tags, &self.system_tags)
            && self.name.as_ref().is_none_or(|name| name.is_match(&worker.id))
    }
}

/// Any of the wanted, none of those with a minus.
fn has_tags(tags: &[String], filter: &[String]) -> bool {
    let has = |tag: &str| tags.iter().any(|known| known == tag);
    let (excluded, wanted): (Vec<&str>, Vec<&str>) =
        filter.iter().map(String::as_str).partition(|tag| tag.starts_with('-'));
    (wanted.is_empty() || wanted.into_iter().any(has)) && !excluded.into_iter().any(|tag| has(&tag[1..]))
}

/// `*` is any text, `?` any character.
fn glob(pattern: &str) -> Result<Regex, ApiError> {
    let escaped = regex::escape(pattern).replace("\\*", ".*").replace("\\?", ".");
    Regex::new(&format!("^(?s:{escaped})$")).map_err(|_| ApiError::bad_field("worker_pattern", "is too large"))
}

fn shown(connection: &Snapshot, worker: &Worker) -> StoreResult<Value> {
    let user = users::name_of(connection, &worker.user)?;
    let mut shown = json!({
        "key": worker.key,
        "id": worker.id,
        "user": {"id": worker.user, "name": user},
        "company": {"id": COMPANY, "name": COMPANY_NAME},
        "ip": worker.ip,
        "register_time": time::to_iso(worker.register_time),
        "register_timeout": worker.register_timeout,
        "last_activity_time": time::to_iso(worker.last_activity_time),
        "last_report_time": worker.last_report_time.map(time::to_iso),
        "tags": worker.tags,
        "system_tags": worker.system_tags,
        "resources": worker.resources,
        "machine_stats": worker.machine_stats,
    });
    let mut known = Vec::with_capacity(worker.queues.len());
    for queue in &worker.queues {
        known.extend(queue_shown(connection, queue)?);
    }
    if let Some(queue) = known.iter().find(|queue| queue["id"].as_str() == worker.queue.as_deref()) {
        shown["queue"] = queue.clone();
    }
    shown["queues"] = Value::Array(known);
    if let Some(task) = &worker.task {
        add_task(connection, task, &mut shown)?;
    }
    Ok(shown)
}

fn queue_shown(connection: &Snapshot, queue: &str) -> StoreResult<Option<Value>> {
    let Some((name, display_name)) = queues::names_of(connection, queue)? else { return Ok(None) };
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(queue));
    shown.insert("name".to_owned(), json!(name));
    shown.extend(display_name.map(|name| ("display_name".to_owned(), json!(name))));
    shown.insert("num_tasks".to_owned(), json!(queues::entry_count(connection, queue)?));
    if let Some(next) = queues::head(connection, queue)? {
        let name = tasks::name_of(connection, &next.task)?;
        shown.insert("next_task".to_owned(), json!({"id": next.task, "name": name}));
    }
    Ok(Some(Value::Object(shown)))
}

fn add_task(connection: &Snapshot, id: &str, shown: &mut Value) -> StoreResult<()> {
    let Some(task) = tasks::glance(connection, id)? else { return Ok(()) };
    let running_time = task.active_duration.unwrap_or_default() * 1000;
    shown["task"] = json!({
        "id": id, "name": task.name, "running_time": running_time, "last_iteration": task.last_iteration,
    });
    if let Some((id, name)) = task.project {
        shown["project"] = json!({"id": id, "name": name});
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_as_globs() {
        let matches = |pattern: &str, name: &str| glob(pattern).unwrap().is_match(name);
        assert!(matches("host*:gpu?", "host-1:gpu0"));
        assert!(!matches("host*:gpu?", "host-1:gpu10"));
        assert!(!matches("h.st", "host"));
    }

    #[test]
    fn tags_are_any_of_the_wanted_and_none_of_the_excluded() {
        let tags = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(has_tags(&tags(&["a"]), &tags(&["a", "b"])));
        assert!(!has_tags(&tags(&["a"]), &tags(&["b"])));
        assert!(!has_tags(&tags(&["a", "c"]), &tags(&["a", "-c"])));
        assert!(has_tags(&tags(&[]), &tags(&["-c"])));
    }
}
