//! Owners of events and their series.

use md5::Digest;
use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::model::{Kind, MetricFilter};
use crate::store::StoreResult;

/// A task or model that has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its number in the event tables.
    pub(crate) key: i64,
    /// Console lines that are stored.
    pub(crate) log_lines: i64,
    /// Console lines that went because of a limit.
    pub(crate) trimmed_lines: i64,
}

/// A row of `event_series`.
#[derive(Clone, Debug)]
pub(crate) struct SeriesRow {
    pub(crate) key: i64,
    pub(crate) kind: Kind,
    pub(crate) metric: String,
    pub(crate) variant: String,
    pub(crate) metric_hash: String,
    pub(crate) variant_hash: String,
    /// Rows that are stored.
    pub(crate) events: i64,
    /// Events that were ever reported, also those that overwrote another.
    pub(crate) reports: i64,
    /// Smallest and largest iteration, single values left aside.
    pub(crate) iters: Option<(i64, i64)>,
    /// Latest timestamp, in milliseconds.
    pub(crate) last_timestamp: i64,
    /// Value and iteration of the latest report.
    pub(crate) last: Option<(f64, i64)>,
    pub(crate) min: Option<(f64, i64)>,
    pub(crate) max: Option<(f64, i64)>,
    pub(crate) first: Option<(f64, i64)>,
    /// Sum of all reported values.
    pub(crate) sum: f64,
    pub(crate) x_axis_label: Option<String>,
    /// Bytes of the plots, vectors and images that are stored.
    pub(crate) bytes: i64,
    /// Last iteration that is in a pack, if there is one.
    pub(super) packed_to: Option<i64>,
    /// Points in packs.
    pub(super) packed: i64,
}

const COLUMNS: &str = "s.key, s.kind, s.metric, s.variant, s.metric_hash, s.variant_hash, s.events, s.reports, \
     s.min_iter, s.max_iter, s.last_timestamp, s.value, s.value_iter, s.min_value, s.min_value_iter, s.max_value, \
     s.max_value_iter, s.first_value, s.first_value_iter, s.value_sum, s.x_axis_label, \
     s.bytes, s.packed_to, s.packed";

impl SeriesRow {
    /// Reads the columns of [`SeriesRow::sql`].
    pub(super) fn read(row: &Row<'_>) -> StoreResult<Self> {
        let code: i64 = row.get(1)?;
        let kind = Kind::from_code(code)
            .ok_or_else(|| ApiError::inconsistent_data("unknown kind of series", &[("kind", &code)]))?;
        Ok(Self {
            key: row.get(0)?,
            kind,
            metric: row.get(2)?,
            variant: row.get(3)?,
            metric_hash: row.get(4)?,
            variant_hash: row.get(5)?,
            events: row.get(6)?,
            reports: row.get(7)?,
            iters: pair(row, 8)?,
            last_timestamp: row.get(10)?,
            last: pair(row, 11)?,
            min: pair(row, 13)?,
            max: pair(row, 15)?,
            first: pair(row, 17)?,
            sum: row.get::<_, Option<f64>>(19)?.unwrap_or(f64::NAN),
            x_axis_label: row.get(20)?,
            bytes: row.get(21)?,
            packed_to: row.get(22)?,
            packed: row.get(23)?,
        })
    }

    /// A SELECT of series `s`, to be continued with conditions and order.
    pub(super) fn sql(rest: &str) -> String {
        format!("SELECT {COLUMNS} FROM event_series s {rest}")
    }
}

fn pair<A: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(A, i64)>> {
    let first: Option<A> = row.get(column)?;
    let second: Option<i64> = row.get(column + 1)?;
    Ok(first.zip(second))
}

/// The owner with the id, if it has events.
pub(crate) fn owner_of(connection: &Connection, id: &str) -> StoreResult<Option<Owner>> {
    let mut statement =
        connection.prepare_cached("SELECT key, log_lines, trimmed_lines FROM event_owners WHERE owner = ?1")?;
    let owner = statement
        .query_row([id], |row| Ok(Owner { key: row.get(0)?, log_lines: row.get(1)?, trimmed_lines: row.get(2)? }))
        .optional()?;
    Ok(owner)
}

/// The series of an owner of the given kinds that the filter lets through, by metric, variant and kind.
pub(crate) fn series_of(
    connection: &Connection,
    owner: Owner,
    kinds: &[Kind],
    filter: &MetricFilter,
) -> StoreResult<Vec<SeriesRow>> {
    let sql = SeriesRow::sql("WHERE s.owner = ?1 ORDER BY s.metric, s.variant, s.kind");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([owner.key])?;
    let mut series = Vec::new();
    while let Some(row) = rows.next()? {
        let read = SeriesRow::read(row)?;
        if kinds.contains(&read.kind) && filter.matches(&read.metric, &read.variant) {
            series.push(read);
        }
    }
    Ok(series)
}

impl SeriesRow {
    /// A series that nothing was reported to yet.
    pub(super) fn new(key: i64, kind: Kind, metric: String, variant: String) -> Self {
        Self {
            key,
            kind,
            metric_hash: md5_hex(&metric),
            variant_hash: md5_hex(&variant),
            metric,
            variant,
            events: 0,
            reports: 0,
            iters: None,
            last_timestamp: 0,
            last: None,
            min: None,
            max: None,
            first: None,
            sum: 0.0,
            x_axis_label: None,
            bytes: 0,
            packed_to: None,
            packed: 0,
        }
    }

    /// Stores what appends and removals change.
    pub(super) fn save(&self, connection: &Connection) -> StoreResult<()> {
        let (min_iter, max_iter) = self.iters.unzip();
        let [last, min, max, first] = [self.last, self.min, self.max, self.first].map(Option::unzip);
        let mut update = connection.prepare_cached(
            "UPDATE event_series SET events = ?2, reports = ?3, min_iter = ?4, max_iter = ?5, last_timestamp = ?6, \
             value = ?7, value_iter = ?8, min_value = ?9, min_value_iter = ?10, max_value = ?11, \
             max_value_iter = ?12, first_value = ?13, first_value_iter = ?14, value_sum = ?15, x_axis_label = ?16, \
             bytes = ?17, packed_to = ?18, packed = ?19 WHERE key = ?1",
        )?;
        update.execute(params![
            self.key,
            self.events,
            self.reports,
            min_iter,
            max_iter,
            self.last_timestamp,
            last.0,
            last.1,
            min.0,
            min.1,
            max.0,
            max.1,
            first.0,
            first.1,
            self.sum,
            self.x_axis_label,
            self.bytes,
            self.packed_to,
            self.packed,
        ])?;
        Ok(())
    }

    /// First iteration that is in no pack. `None`: all there can be are.
    pub(super) fn first_loose(&self) -> Option<i64> {
        self.packed_to.map_or(Some(i64::MIN), |to| to.checked_add(1))
    }
}

/// MD5 as lower-case hexadecimal digits: the name under which clients know a metric or variant.
pub(crate) fn md5_hex(text: &str) -> String {
    hex::encode(md5::Md5::digest(text))
}
