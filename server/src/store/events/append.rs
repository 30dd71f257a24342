//! Appends a batch of events in one transaction.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::fold::OpenSeries;
use super::model::{Body, Kind, NewEvent, Payload};
use super::series::SeriesRow;
use crate::store::StoreResult;
use crate::time::Micros;

/// Metrics of the SDK's machine monitor: they do not move a task's last iteration.
const MONITOR_METRICS: [&str; 2] = [":monitor:machine", ":monitor:gpu"];

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// Events that are stored.
    pub(crate) added: u64,
    /// Why others are not, each reason with the number of its events.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// The tasks and models that got events.
    pub(crate) touched: Vec<Touched>,
}

/// A task or model that got events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Its id.
    pub(crate) owner: String,
    /// Whether it is a model.
    pub(crate) is_model: bool,
    /// Largest iteration among its new events, those of the machine monitor left aside.
    pub(crate) last_iteration: Option<i64>,
}

/// Appends `events` in their order. `may_append` answers for each owner of the batch, once, why its events are
/// refused, if they are. Events without a worker get `worker`, those without a timestamp `now`.
pub(crate) fn append(
    connection: &Connection,
    events: Vec<NewEvent>,
    worker: &str,
    now: Micros,
    mut may_append: impl FnMut(&NewEvent) -> StoreResult<Option<String>>,
) -> StoreResult<Appended> {
    let mut appender = Appender::new(connection, worker, now / 1000)?;
    for event in events {
        let owner = match appender.owner_numbers.get(&event.owner) {
            Some(known) => known.clone(),
            None => {
                let answer = match may_append(&event)? {
                    Some(reason) => Err(reason),
                    None => Ok(appender.open_owner(&event)?),
                };
                appender.owner_numbers.insert(event.owner.clone(), answer.clone());
                answer
            }
        };
        match owner {
            Ok(owner) => appender.add(owner, event)?,
            Err(reason) => *appender.rejected.entry(reason).or_default() += 1,
        }
    }
    appender.finish()
}

/// An owner while a batch is appended.
struct OpenOwner {
    key: i64,
    touched: Touched,
    new_lines: i64,
    new_bytes: i64,
}

struct Appender<'connection> {
    connection: &'connection Connection,
    worker: &'connection str,
    now: i64,
    /// Number in `owners`, or why the owner gets nothing.
    owner_numbers: HashMap<String, Result<usize, String>>,
    owners: Vec<OpenOwner>,
    sources: HashMap<(String, String), i64>,
    series_numbers: HashMap<(usize, Kind, String, String), usize>,
    series: Vec<OpenSeries>,
    added: u64,
    rejected: BTreeMap<String, u64>,
    insert_line: CachedStatement<'connection>,
    points: Upsert<'connection>,
    payloads: Upsert<'connection>,
    images: Upsert<'connection>,
}

/// An insert, and the update that takes its place when the row is there. Two statements instead of one with ON
/// CONFLICT, because the caller must learn which of the two happened.
struct Upsert<'connection> {
    insert: CachedStatement<'connection>,
    update: CachedStatement<'connection>,
}

impl<'connection> Upsert<'connection> {
    fn new(connection: &'connection Connection, insert: &str, update: &str) -> StoreResult<Self> {
        Ok(Self { insert: connection.prepare_cached(insert)?, update: connection.prepare_cached(update)? })
    }

    /// Returns whether the row is new.
    fn run(&mut self, values: impl rusqlite::Params + Clone) -> StoreResult<bool> {
        let is_new = self.insert.execute(values.clone())? == 1;
        if !is_new {
            self.update.execute(values)?;
        }
        Ok(is_new)
    }
}

impl<'connection> Appender<'connection> {
    fn new(connection: &'connection Connection, worker: &'connection str, now: i64) -> StoreResult<Self> {
        Ok(Self {
            connection,
            worker,
            now,
            owner_numbers: HashMap::new(),
            owners: Vec::new(),
            sources: HashMap::new(),
            series_numbers: HashMap::new(),
            series: Vec::new(),
            added: 0,
            rejected: BTreeMap::new(),
            insert_line: connection.prepare_cached(
                "INSERT INTO console_lines (owner, timestamp, source, message, extra) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            points: Upsert::new(
                connection,
                "INSERT OR IGNORE INTO scalar_points (series, iter, timestamp, value, source, extra) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                "UPDATE scalar_points SET timestamp = ?3, value = ?4, source = ?5, extra = ?6 \
                 WHERE series = ?1 AND iter = ?2",
            )?,
            payloads: Upsert::new(
                connection,
                "INSERT OR IGNORE INTO payload_events (series, iter, timestamp, payload, source, extra) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                "UPDATE payload_events SET timestamp = ?3, payload = ?4, source = ?5, extra = ?6 \
                 WHERE series = ?1 AND iter = ?2",
            )?,
            images: Upsert::new(
                connection,
                "INSERT OR IGNORE INTO image_events (series, iter, image_key, timestamp, url, source, extra) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                "UPDATE image_events SET timestamp = ?4, url = ?5, source = ?6, extra = ?7 \
                 WHERE series = ?1 AND iter = ?2 AND image_key = ?3",
            )?,
        })
    }

    fn open_owner(&mut self, event: &NewEvent) -> StoreResult<usize> {
        let key = self
            .connection
            .prepare_cached("SELECT key FROM event_owners WHERE owner = ?1")?
            .query_row([&event.owner], |row| row.get(0))
            .optional()?;
        let key = match key {
            Some(key) => key,
            None => self
                .connection
                .prepare_cached("INSERT INTO event_owners (owner, is_model) VALUES (?1, ?2)")?
                .insert(params![event.owner, event.is_model])?,
        };
        let touched = Touched { owner: event.owner.clone(), is_model: event.is_model, last_iteration: None };
        self.owners.push(OpenOwner { key, touched, new_lines: 0, new_bytes: 0 });
        Ok(self.owners.len() - 1)
    }

    fn add(&mut self, owner: usize, event: NewEvent) -> StoreResult<()> {
        let timestamp = event.timestamp.unwrap_or(self.now);
        let worker = event.worker.unwrap_or_else(|| self.worker.to_owned());
        let extra = event.extra.map(|extra| serde_json::to_string(&extra)).transpose()?;
        match event.body {
            Body::Log { level, message } => {
                let source = self.source(worker, level)?;
                let owner = &mut self.owners[owner];
                self.insert_line.execute(params![owner.key, timestamp, source, message, extra])?;
                owner.new_lines += 1;
                owner.new_bytes += i64::try_from(message.len()).unwrap_or(i64::MAX);
            }
            Body::Series { metric, variant, iter, payload } => {
                if !MONITOR_METRICS.contains(&metric.as_str()) {
                    let last_iteration = &mut self.owners[owner].touched.last_iteration;
                    *last_iteration = (*last_iteration).max(Some(iter));
                }
                let source = self.source(worker, String::new())?;
                let number = self.open_series(owner, payload.kind(), metric, variant)?;
                let series = &mut self.series[number];
                let key = series.row.key;
                let is_new = match payload {
                    Payload::Scalar { value, x_axis_label } => {
                        series.fold_scalar(iter, timestamp, value);
                        series.row.x_axis_label = x_axis_label.or(series.row.x_axis_label.take());
                        self.points.run(params![key, iter, timestamp, value, source, extra])?
                    }
                    Payload::Vector(payload) | Payload::Plot(payload) => {
                        self.payloads.run(params![key, iter, timestamp, payload, source, extra])?
                    }
                    Payload::Image { key: image_key, url } => {
                        self.images.run(params![key, iter, image_key, timestamp, url, source, extra])?
                    }
                };
                series.count(iter, timestamp, is_new);
            }
        }
        self.added += 1;
        Ok(())
    }

    fn source(&mut self, worker: String, level: String) -> StoreResult<i64> {
        let source = (worker, level);
        if let Some(key) = self.sources.get(&source) {
            return Ok(*key);
        }
        let known = self
            .connection
            .prepare_cached("SELECT key FROM event_sources WHERE worker = ?1 AND level = ?2")?
            .query_row(params![source.0, source.1], |row| row.get(0))
            .optional()?;
        let key = match known {
            Some(key) => key,
            None => self
                .connection
                .prepare_cached("INSERT INTO event_sources (worker, level) VALUES (?1, ?2)")?
                .insert(params![source.0, source.1])?,
        };
        self.sources.insert(source, key);
        Ok(key)
    }

    fn open_series(&mut self, owner: usize, kind: Kind, metric: String, variant: String) -> StoreResult<usize> {
        let name = (owner, kind, metric, variant);
        if let Some(number) = self.series_numbers.get(&name) {
            return Ok(*number);
        }
        let (_, _, metric, variant) = &name;
        let owner_key = self.owners[owner].key;
        let sql = SeriesRow::sql("WHERE s.owner = ?1 AND s.kind = ?2 AND s.metric = ?3 AND s.variant = ?4");
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut found = select.query(params![owner_key, kind.code(), metric, variant])?;
        let row = match found.next()? {
            Some(row) => SeriesRow::read(row)?,
            None => {
                let mut row = SeriesRow::new(0, kind, metric.clone(), variant.clone());
                row.key = self
                    .connection
                    .prepare_cached(
                        "INSERT INTO event_series (owner, kind, metric, variant, metric_hash, variant_hash) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .insert(params![owner_key, kind.code(), metric, variant, row.metric_hash, row.variant_hash])?;
                row
            }
        };
        self.series.push(OpenSeries::new(row));
        let number = self.series.len() - 1;
        self.series_numbers.insert(name, number);
        Ok(number)
    }

    fn finish(self) -> StoreResult<Appended> {
        let mut update = self.connection.prepare_cached(
            "UPDATE event_series SET events = ?2, reports = ?3, min_iter = ?4, max_iter = ?5, last_timestamp = ?6, \
             value = ?7, value_iter = ?8, min_value = ?9, min_value_iter = ?10, max_value = ?11, \
             max_value_iter = ?12, first_value = ?13, first_value_iter = ?14, value_sum = ?15, x_axis_label = ?16 \
             WHERE key = ?1",
        )?;
        for OpenSeries { row, .. } in &self.series {
            let (min_iter, max_iter) = row.iters.unzip();
            let [last, min, max, first] = [row.last, row.min, row.max, row.first].map(Option::unzip);
            update.execute(params![
                row.key,
                row.events,
                row.reports,
                min_iter,
                max_iter,
                row.last_timestamp,
                last.0,
                last.1,
                min.0,
                min.1,
                max.0,
                max.1,
                first.0,
                first.1,
                row.sum,
                row.x_axis_label,
            ])?;
        }
        let mut update = self.connection.prepare_cached(
            "UPDATE event_owners SET log_lines = log_lines + ?2, log_bytes = log_bytes + ?3 WHERE key = ?1",
        )?;
        for owner in self.owners.iter().filter(|owner| owner.new_lines > 0) {
            update.execute(params![owner.key, owner.new_lines, owner.new_bytes])?;
        }
        let touched = self.owners.into_iter().map(|owner| owner.touched).collect();
        Ok(Appended { added: self.added, rejected: self.rejected, touched })
    }
}
