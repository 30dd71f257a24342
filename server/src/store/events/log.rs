//! Console output of a task.

use rusqlite::{Connection, params};
use serde_json::Value;

use super::json::{Shown, log_event};
use super::model::MetricFilter;
use super::series::Owner;
use crate::store::StoreResult;

/// A stored piece of console output.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Order among lines of one timestamp.
    pub(crate) id: i64,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) worker: String,
    pub(crate) level: String,
    pub(crate) message: String,
    extra: Option<String>,
}

impl Line {
    /// As the API shows it.
    pub(crate) fn into_event(self, shown: Shown<'_>) -> StoreResult<Value> {
        log_event(shown, self.timestamp, (self.worker, self.level), self.message, self.extra.as_deref())
    }
}

/// Which page of the console output to read.
#[derive(Clone, Debug)]
pub(crate) struct LogPage {
    /// Only lines strictly before (or after) this timestamp.
    pub(crate) from: Option<i64>,
    /// From the latest line backwards.
    pub(crate) earlier: bool,
    /// Lines at least, if there are so many.
    pub(crate) size: usize,
    /// Lines of these metrics only; variants do not matter.
    pub(crate) filter: MetricFilter,
}

/// A page of lines in the direction of reading, and how many lines there are in all. Lines that share the timestamp
/// of the last one are all there, even beyond the size: a reader that goes on from that timestamp misses none.
pub(crate) fn log_page(connection: &Connection, owner: Owner, page: &LogPage) -> StoreResult<(Vec<Line>, i64)> {
    let metrics = metrics_json(&page.filter);
    // An id beyond all others on the far side of the timestamp: its own lines are excluded.
    let start = match (page.earlier, page.from) {
        (true, None) => (i64::MAX, i64::MAX),
        (true, Some(from)) => (from, i64::MIN),
        (false, None) => (i64::MIN, i64::MIN),
        (false, Some(from)) => (from, i64::MAX),
    };
    let mut lines = read(connection, owner, start, page.earlier, page.size, metrics.as_deref())?;
    if let Some(last) = lines.last().filter(|_| lines.len() >= page.size) {
        let last = (last.timestamp, last.id);
        lines.extend(rest_of_timestamp(connection, owner, last, page.earlier, metrics.as_deref())?);
    }
    let total = match &metrics {
        None => owner.log_lines,
        Some(metrics) => connection
            .prepare_cached(
                "SELECT count(*) FROM console_lines WHERE owner = ?1 \
                 AND CAST(coalesce(json_extract(extra, '$.metric'), '') AS TEXT) IN (SELECT value FROM json_each(?2))",
            )?
            .query_row(params![owner.key, metrics], |row| row.get(0))?,
    };
    Ok((lines, total))
}

/// At most `limit` lines after (or before, with `earlier`) the line with this timestamp and id.
pub(crate) fn log_lines(
    connection: &Connection,
    owner: Owner,
    from: (i64, i64),
    earlier: bool,
    limit: usize,
) -> StoreResult<Vec<Line>> {
    read(connection, owner, from, earlier, limit, None)
}

const SELECT: &str = "SELECT l.id, l.timestamp, s.worker, s.level, l.message, l.extra \
     FROM console_lines l JOIN event_sources s ON s.key = l.source WHERE l.owner = ?1";

const OF_METRICS: &str = "coalesce(json_extract(l.extra, '$.metric'), '') IN (SELECT value FROM json_each(?4))";

fn metrics_json(filter: &MetricFilter) -> Option<String> {
    let names: Vec<Value> = filter.metrics.iter().map(|(metric, _)| metric.as_str().into()).collect();
    (!names.is_empty()).then(|| Value::Array(names).to_string())
}

fn read(
    connection: &Connection,
    owner: Owner,
    (timestamp, id): (i64, i64),
    earlier: bool,
    limit: usize,
    metrics: Option<&str>,
) -> StoreResult<Vec<Line>> {
    let (beyond, order) = if earlier { ("<", "DESC") } else { (">", "ASC") };
    let of_metrics = if metrics.is_some() { OF_METRICS } else { "?4 IS NULL" };
    let sql = format!(
        "{SELECT} AND (l.timestamp, l.id) {beyond} (?2, ?3) AND {of_metrics} \
         ORDER BY l.timestamp {order}, l.id {order} LIMIT ?5"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let lines = statement.query_map(params![owner.key, timestamp, id, metrics, limit], line)?;
    Ok(lines.collect::<Result<_, _>>()?)
}

fn rest_of_timestamp(
    connection: &Connection,
    owner: Owner,
    (timestamp, id): (i64, i64),
    earlier: bool,
    metrics: Option<&str>,
) -> StoreResult<Vec<Line>> {
    let (beyond, order) = if earlier { ("<", "DESC") } else { (">", "ASC") };
    let of_metrics = if metrics.is_some() { OF_METRICS } else { "?4 IS NULL" };
    let sql = format!("{SELECT} AND l.timestamp = ?2 AND l.id {beyond} ?3 AND {of_metrics} ORDER BY l.id {order}");
    let mut statement = connection.prepare_cached(&sql)?;
    let lines = statement.query_map(params![owner.key, timestamp, id, metrics], line)?;
    Ok(lines.collect::<Result<_, _>>()?)
}

fn line(row: &rusqlite::Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        id: row.get(0)?,
        timestamp: row.get(1)?,
        worker: row.get(2)?,
        level: row.get(3)?,
        message: row.get(4)?,
        extra: row.get(5)?,
    })
}
