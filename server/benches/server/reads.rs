//! What is read: lists, polls, curves.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rusqlite::types::Value as SqlValue;
use serde_json::json;

use crate::cases::MANY;
use crate::fill::Filled;
use crate::measure::{Case, Row, Turn, in_turns, repeat, together};
use crate::process::Process;
use crate::raw::Raw;
use crate::{Outcome, Plan};

/// A request, and the statement that reads the same rows.
struct Read {
    name: &'static str,
    endpoint: &'static str,
    body: String,
    sql: String,
    parameters: Vec<SqlValue>,
    /// Rows that both must find.
    expected: usize,
}

const LISTED: &str = "t.id, t.name, t.type, t.status, t.project, t.user, t.last_update, t.tags, t.system_tags";

/// Everything that `tasks.get_all` shows of a task but its metrics.
const WHOLE: &str = "t.*, d.*";

/// Lists and polls.
pub(crate) async fn run(server: &Process, raw: &Raw, plan: &Plan, filled: &Filled) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for read in reads(filled) {
        for connections in [1, MANY] {
            if read.name.contains(&plan.only) {
                rows.push(measure(server, raw, plan, &read, connections).await?);
            }
        }
    }
    Ok(rows)
}

/// The histogram of the long curve.
pub(crate) async fn histogram(server: &Process, raw: &Raw, plan: &Plan, filled: &Filled) -> Outcome<Vec<Row>> {
    let read = Read {
        name: "histogram of the long curve",
        endpoint: "events.scalar_metrics_iter_histogram",
        body: json!({"task": filled.curve, "samples": 6000}).to_string(),
        sql: "SELECT p.iter, p.value FROM event_owners o JOIN event_series s ON s.owner = o.key
              JOIN scalar_points p ON p.series = s.key WHERE o.owner = ?"
            .to_owned(),
        parameters: vec![SqlValue::Text(filled.curve.clone())],
        expected: plan.points,
    };
    let mut rows = Vec::new();
    for connections in [1, MANY] {
        if read.name.contains(&plan.only) {
            rows.push(measure(server, raw, plan, &read, connections).await?);
        }
    }
    Ok(rows)
}

fn reads(filled: &Filled) -> Vec<Read> {
    let project = &filled.projects[3];
    let ordered = "t.project = ? AND t.status = 'created'
         AND NOT EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'hidden')
         ORDER BY t.last_update DESC, t.id LIMIT 500";
    let several = "t.project = ? AND t.status IN ('created', 'in_progress', 'queued', 'completed')
         AND NOT EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value IN ('hidden', 'archived'))
         ORDER BY t.last_update DESC, t.id LIMIT 500";
    let fields = ["id", "name", "type", "status", "project", "user", "last_update", "tags", "system_tags"];
    let by_project = |statuses: &[&str]| json!({"project": [project], "status": statuses, "order_by": ["-last_update"], "page_size": 500, "page": 0});
    let mut list = by_project(&["created"]);
    list["only_fields"] = json!(fields);
    let mut board = by_project(&["created", "in_progress", "queued", "completed"]);
    board["only_fields"] = json!(fields);
    board["system_tags"] = json!(["-archived"]);
    let polled: Vec<&String> = filled.tasks.iter().skip(500).step_by(97).take(20).collect();
    let marks = |count: usize| vec!["?"; count].join(", ");
    let texts = |ids: &[&String]| ids.iter().map(|id| SqlValue::Text((*id).clone())).collect::<Vec<_>>();
    let watched: Vec<&String> = filled.watched.iter().collect();
    let matching = (filled.tasks.len() / filled.projects.len()).min(500);
    vec![
        Read {
            name: "tasks.get_all, 500 by project, status, order",
            endpoint: "tasks.get_all",
            body: list.to_string(),
            sql: format!("SELECT {LISTED} FROM tasks t WHERE {ordered}"),
            parameters: texts(&[project]),
            expected: matching,
        },
        Read {
            name: "tasks.get_all, the same, whole tasks",
            endpoint: "tasks.get_all",
            body: by_project(&["created"]).to_string(),
            sql: format!("SELECT {WHOLE} FROM tasks t LEFT JOIN task_documents d ON d.id = t.id WHERE {ordered}"),
            parameters: texts(&[project]),
            expected: matching,
        },
        Read {
            name: "tasks.get_all, 4 statuses, not archived",
            endpoint: "tasks.get_all",
            body: board.to_string(),
            sql: format!("SELECT {LISTED} FROM tasks t WHERE {several}"),
            parameters: texts(&[project]),
            expected: matching,
        },
        Read {
            name: "tasks.get_all, poll of 20 ids",
            endpoint: "tasks.get_all",
            body: json!({"id": polled, "only_fields": ["status", "status_message"]}).to_string(),
            sql: format!(
                "SELECT t.id, t.status, t.status_message FROM tasks t WHERE t.id IN ({})",
                marks(polled.len())
            ),
            parameters: texts(&polled),
            expected: polled.len(),
        },
        Read {
            name: "queues.get_all, poll of 10 ids",
            endpoint: "queues.get_all",
            body: json!({"id": watched, "only_fields": ["id", "tags"]}).to_string(),
            sql: format!("SELECT q.id, q.tags FROM queues q WHERE q.id IN ({})", marks(watched.len())),
            parameters: texts(&watched),
            expected: watched.len(),
        },
    ]
}

async fn measure(server: &Process, raw: &Raw, plan: &Plan, read: &Read, connections: usize) -> Outcome<Row> {
    let mut clients = server.clients(connections).await?;
    if !read.name.contains("curve") {
        let answer = clients[0].data(read.endpoint, &serde_json::from_str(&read.body)?).await?;
        let list = read.endpoint.split('.').next().unwrap_or_default();
        let found = answer[list].as_array().map_or(0, Vec::len);
        assert_eq!(found, read.expected, "{} found too little", read.name);
    }
    let ours = async || -> Outcome<Turn> {
        let work = clients.iter_mut().map(|client| {
            repeat(plan.turn, async move || {
                client.json(read.endpoint, &read.body).await?;
                Ok(1)
            })
        });
        Ok(together(try_join_all(work).await?))
    };
    // Readers do not wait for each other: each has a thread and a connection of its own.
    let limit = async || -> Outcome<Turn> {
        let threads: Vec<_> = (0..connections)
            .map(|_| {
                let (path, sql, parameters) = (raw.path(), read.sql.clone(), read.parameters.clone());
                let (turn, expected) = (plan.turn, read.expected);
                std::thread::spawn(move || read_again_and_again(&path, &sql, &parameters, turn, expected))
            })
            .collect();
        let turns = threads.into_iter().map(|thread| thread.join().map_err(|_| "a reader failed")?);
        Ok(together(turns.collect::<Outcome<Vec<Turn>>>()?))
    };
    in_turns(Case(read.name, "calls", connections), plan.rounds, server, ours, limit).await
}

fn read_again_and_again(
    path: &Path,
    sql: &str,
    parameters: &[SqlValue],
    length: Duration,
    expected: usize,
) -> Outcome<Turn> {
    let connection = Raw::read_only(path)?;
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let began = Instant::now();
    let mut turn = Turn::default();
    let mut bytes = 0;
    while began.elapsed() < length {
        let before = Instant::now();
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        let mut found = 0;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                bytes += row.get_ref(column)?.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len);
            }
            found += 1;
        }
        assert_eq!(found, expected, "the raw store found too little");
        turn.units += 1;
        turn.latencies.push(before.elapsed());
    }
    std::hint::black_box(bytes);
    turn.elapsed = began.elapsed();
    Ok(turn)
}
