//! Environments as a table, and one of them in full.

use std::time::SystemTime;

use drivers::python::store::{Entry, Store};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::context::Context;
use super::find;
use crate::exit::Problem;
use crate::output::{Age, Table, local_time, readable};

/// As many letters of an id tell it apart.
pub(super) const SHORT: usize = 12;

pub(super) fn list(context: &Context, store: &Store) -> anyhow::Result<()> {
    let mut table = Table::new(
        &["ENVIRONMENT", "PYTHON", "PACKAGES", "FILES", "SIZE", "OF ITS OWN", "LAST USED", "IN USE", "BUILT FOR"],
        "there are no environments",
    );
    let entries = store.list()?;
    for entry in &entries {
        table.row([
            short(&entry.id).to_owned(),
            entry.ready.python_version.clone(),
            entry.ready.packages.len().to_string(),
            entry.files.to_string(),
            readable(entry.bytes),
            readable(entry.own_bytes),
            format!("{} ago", Age::since_ms(milliseconds(entry.last_used))),
            if entry.is_in_use { "yes" } else { "no" }.to_owned(),
            entry.ready.task.clone(),
        ]);
    }
    context.output.table(&Value::Array(entries.iter().map(document).collect()), &table)
}

pub(super) fn show(context: &Context, store: &Store, start: &str) -> anyhow::Result<()> {
    let id = find(store, start)?;
    let gone = || Problem::refused(format!("environment {id} has just been removed"));
    let entry = store.entry(&id).ok_or_else(gone)?;
    let tasks = store.tasks_of(&id)?;
    let mut value = document(&entry);
    value["question"] = json!(entry.ready.question);
    value["package_list"] = json!(entry.ready.packages);
    value["resolution"] = json!(entry.ready.resolution);
    value["tasks"] = json!(tasks.iter().map(|task| &task.task).collect::<Vec<_>>());
    let mut text = format!(
        "environment:  {}\nfolder:       {}\npython:       {}\nbuilt:        {} for task {}, in {:.1} s\n\
         last used:    {}{}\nsize:         {} in {} files, {} of them its own\n",
        entry.id,
        store.folder(&id).display(),
        entry.ready.python_version,
        time(entry.ready.created),
        entry.ready.task,
        entry.ready.seconds,
        local_time(&Timestamp::try_from(entry.last_used).unwrap_or_default().to_string()),
        if entry.is_in_use { ", in use now" } else { "" },
        readable(entry.bytes),
        entry.files,
        readable(entry.own_bytes),
    );
    let mut section = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    section("asked for:", entry.ready.question.lines());
    section("packages:", &entry.ready.packages);
    let tasks: Vec<String> = tasks.iter().map(|task| format!("{}  {}", time(task.time), task.task)).collect();
    section("used by tasks:", &tasks);
    context.output.either(&value, text.trim_end())
}

fn document(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "python": entry.ready.python_version,
        "packages": entry.ready.packages.len(),
        "files": entry.files,
        "bytes": entry.bytes,
        "own_bytes": entry.own_bytes,
        "created": entry.ready.created,
        "last_used": milliseconds(entry.last_used) / 1000,
        "in_use": entry.is_in_use,
        "task": entry.ready.task,
        "seconds": entry.ready.seconds,
    })
}

pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// Seconds since 1970, for people.
pub(super) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    local_time(&time.unwrap_or_default().to_string())
}

fn milliseconds(time: SystemTime) -> i64 {
    Timestamp::try_from(time).unwrap_or_default().as_millisecond()
}
