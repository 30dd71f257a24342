//! How many tasks of which status projects have.

use std::collections::{BTreeMap, HashMap};

use protocols::clearml::status::TaskStatus;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::store::StoreResult;
use crate::time::{self, Micros};

/// A day.
const DAY: Micros = 24 * 3600 * 1_000_000;

/// Numbers of one project and all below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProjectStats {
    /// Of tasks that are not archived.
    active: TaskStats,
    /// Of archived tasks.
    archived: TaskStats,
    /// Tasks of the project itself.
    pub(crate) own_tasks: i64,
    /// Models of the project itself.
    pub(crate) own_models: i64,
    /// Id and full name of the projects below, by name.
    pub(crate) below: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default)]
struct TaskStats {
    by_status: BTreeMap<String, i64>,
    runtime: i64,
    completed_last_day: i64,
    last_run: Option<Micros>,
}

/// Which tasks count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatsScope {
    /// Those that are not archived.
    #[default]
    Active,
    /// The archived ones.
    Archived,
}

impl ProjectStats {
    /// As the API shows it.
    pub(crate) fn show(&self, only: Option<StatsScope>) -> Value {
        match only {
            Some(StatsScope::Active) => json!({"active": self.active.show()}),
            Some(StatsScope::Archived) => json!({"archived": self.archived.show()}),
            None => json!({"active": self.active.show(), "archived": self.archived.show()}),
        }
    }
}

impl TaskStats {
    fn add(&mut self, other: &Self) {
        for (status, tasks) in &other.by_status {
            *self.by_status.entry(status.clone()).or_default() += tasks;
        }
        self.runtime += other.runtime;
        self.completed_last_day += other.completed_last_day;
        self.last_run = self.last_run.max(other.last_run);
    }

    fn show(&self) -> Value {
        let status_count: BTreeMap<&str, i64> = TaskStatus::ALL
            .iter()
            .map(|status| (status.as_str(), self.by_status.get(status.as_str()).copied().unwrap_or(0)))
            .collect();
        json!({
            "status_count": status_count,
            "total_tasks": self.by_status.values().sum::<i64>(),
            "total_runtime": self.runtime,
            "completed_tasks_24h": self.completed_last_day,
            "last_task_run": self.last_run.map(time::to_iso),
        })
    }
}

/// The numbers of these projects. Reads all tasks once, however many projects are asked for.
pub(crate) fn project_stats(
    connection: &Connection,
    ids: &[String],
    now: Micros,
) -> StoreResult<HashMap<String, ProjectStats>> {
    let own = own_numbers(connection, now)?;
    let mut stats: HashMap<String, ProjectStats> = ids.iter().map(|id| (id.clone(), ProjectStats::default())).collect();
    let mut statement = connection.prepare_cached("SELECT id, name, path FROM projects ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name, path): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let ancestors: Vec<String> = serde_json::from_str(&path)?;
        let numbers = own.get(&id);
        for asked in ancestors.iter().chain([&id]) {
            let Some(sum) = stats.get_mut(asked) else { continue };
            if *asked != id {
                sum.below.push((id.clone(), name.clone()));
            }
            if let Some(numbers) = numbers {
                sum.active.add(&numbers.active);
                sum.archived.add(&numbers.archived);
                if *asked == id {
                    (sum.own_tasks, sum.own_models) = (numbers.own_tasks, numbers.own_models);
                }
            }
        }
    }
    Ok(stats)
}

/// The numbers of each project without those below it.
fn own_numbers(connection: &Connection, now: Micros) -> StoreResult<HashMap<String, ProjectStats>> {
    let mut own: HashMap<String, ProjectStats> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT project, EXISTS (SELECT 1 FROM json_each(system_tags) WHERE value = 'archived') AS archived, status, \
         count(*), coalesce(sum(active_duration), 0), coalesce(sum(completed > ?1 AND status = 'completed'), 0), \
         max(started) FROM tasks WHERE project IS NOT NULL GROUP BY project, archived, status",
    )?;
    let mut rows = statement.query(params![now - DAY])?;
    while let Some(row) = rows.next()? {
        let project = own.entry(row.get(0)?).or_default();
        let stats = if row.get(1)? { &mut project.archived } else { &mut project.active };
        let tasks: i64 = row.get(3)?;
        *stats.by_status.entry(row.get(2)?).or_default() += tasks;
        stats.runtime += row.get::<_, i64>(4)?;
        stats.completed_last_day += row.get::<_, i64>(5)?;
        stats.last_run = stats.last_run.max(row.get(6)?);
        project.own_tasks += tasks;
    }
    let mut statement =
        connection.prepare_cached("SELECT project, count(*) FROM models WHERE project IS NOT NULL GROUP BY project")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        own.entry(row.get(0)?).or_default().own_models = row.get(1)?;
    }
    Ok(own)
}
