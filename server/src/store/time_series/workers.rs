//! Reports of the workers: one row each, in the transaction of the heartbeat that brought it.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::Figures;
use crate::store::{StoreResult, Tx};

/// A worker that reported within the time that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reporter {
    /// The number under which its reports are kept.
    pub(crate) key: i64,
    /// Its id.
    pub(crate) worker: String,
}

/// One report.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// When, by the worker's clock, in milliseconds since the epoch.
    pub(crate) at: i64,
    /// Whether it ran a task.
    pub(crate) is_busy: bool,
    /// Its figures.
    pub(crate) figures: Figures,
}

/// Keeps a report. One of the same millisecond is replaced.
pub(crate) fn record_report(tx: &Tx<'_>, worker: &str, report: &Report) -> StoreResult<()> {
    let figures = report.figures.mask();
    let known: Option<(i64, i64)> = tx
        .prepare_cached("SELECT key, figures FROM reporters WHERE worker = ?")?
        .query_row([worker], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let key = match known {
        Some((key, known)) => {
            if known | figures != known {
                tx.prepare_cached("UPDATE reporters SET figures = ? WHERE key = ?")?.execute([known | figures, key])?;
            }
            key
        }
        None => tx
            .prepare_cached("INSERT INTO reporters (worker, figures) VALUES (?, ?)")?
            .insert(params![worker, figures])?,
    };
    tx.prepare_cached("INSERT OR REPLACE INTO worker_reports (reporter, at, busy, figures) VALUES (?, ?, ?, ?)")?
        .execute(params![key, report.at, report.is_busy, report.figures.as_bytes()])?;
    Ok(())
}

/// Those of these workers that reported, all of them where `workers` is empty, in the order of their ids.
pub(crate) fn reporters(connection: &Connection, workers: &[String]) -> StoreResult<Vec<Reporter>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, worker FROM reporters WHERE ?1 = '[]' OR worker IN (SELECT value FROM json_each(?1)) ORDER BY worker",
    )?;
    let found = statement
        .query_map([Value::from(workers).to_string()], |row| Ok(Reporter { key: row.get(0)?, worker: row.get(1)? }))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// One bit for each figure that these workers, or all, ever gave.
pub(crate) fn reported_figures(connection: &Connection, workers: &[String]) -> StoreResult<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT figures FROM reporters WHERE ?1 = '[]' OR worker IN (SELECT value FROM json_each(?1))",
    )?;
    let mut rows = statement.query([Value::from(workers).to_string()])?;
    let mut figures = 0;
    while let Some(row) = rows.next()? {
        figures |= row.get::<_, i64>(0)?;
    }
    Ok(figures)
}

/// Hands `take` every report of a worker from `from` to `to` (milliseconds since the epoch), oldest first.
pub(crate) fn reports(
    connection: &Connection,
    reporter: i64,
    from: i64,
    to: i64,
    mut take: impl FnMut(Report),
) -> StoreResult<()> {
    let mut statement = connection.prepare_cached(
        "SELECT at, busy, figures FROM worker_reports WHERE reporter = ? AND at BETWEEN ? AND ? ORDER BY at",
    )?;
    let mut rows = statement.query([reporter, from, to])?;
    while let Some(row) = rows.next()? {
        take(Report { at: row.get(0)?, is_busy: row.get(1)?, figures: Figures::from_bytes(row.get(2)?) });
    }
    Ok(())
}

/// Hands `take` the time of every such report, and whether the worker ran a task.
pub(crate) fn presence(
    connection: &Connection,
    reporter: i64,
    from: i64,
    to: i64,
    mut take: impl FnMut(i64, bool),
) -> StoreResult<()> {
    let mut statement = connection
        .prepare_cached("SELECT at, busy FROM worker_reports WHERE reporter = ? AND at BETWEEN ? AND ? ORDER BY at")?;
    let mut rows = statement.query([reporter, from, to])?;
    while let Some(row) = rows.next()? {
        take(row.get(0)?, row.get(1)?);
    }
    Ok(())
}
