//! Appends a batch of events in one transaction.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::fold::OpenSeries;
use super::limits::{signed, trim_log, trim_series};
use super::model::{Body, Kind, NewEvent, Payload};
use super::packs;
use super::series::SeriesRow;
use crate::config::EventLimits;
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

/// How a batch came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// The worker of events that name none.
    pub(crate) worker: &'a str,
    /// The time of events that have none.
    pub(crate) now: Micros,
    /// How much may be kept.
    pub(crate) limits: &'a EventLimits,
}

/// Appends `events` in their order, and removes the oldest ones where there are too many now. `may_append` answers for
/// each owner of the batch, once, why its events are refused, if they are.
pub(crate) fn append(
    connection: &Connection,
    events: Vec<NewEvent>,
    arrival: Arrival<'_>,
    mut may_append: impl FnMut(&NewEvent) -> StoreResult<Option<String>>,
) -> StoreResult<Appended> {
    let mut appender = Appender::new(connection, arrival)?;
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
    /// How many series it has; counted when the first new one comes.
    series: Option<i64>,
}

impl OpenOwner {
    /// Whether it may have one more series; counts it if so.
    fn may_have_another(&mut self, connection: &Connection, limits: &EventLimits) -> StoreResult<bool> {
        let count = match self.series {
            Some(count) => count,
            None => connection
                .prepare_cached("SELECT count(*) FROM event_series WHERE owner = ?1")?
                .query_row([self.key], |row| row.get(0))?,
        };
        let may = count < signed(limits.series);
        self.series = Some(count + i64::from(may));
        Ok(may)
    }
}

struct Appender<'connection> {
    connection: &'connection Connection,
    arrival: Arrival<'connection>,
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
    payload_size: Size<'connection>,
    image_size: Size<'connection>,
}

/// Bytes of what an event is about to overwrite.
struct Size<'connection>(CachedStatement<'connection>);

impl Size<'_> {
    fn of(&mut self, key: impl rusqlite::Params) -> StoreResult<i64> {
        Ok(self.0.query_row(key, |row| row.get(0)).optional()?.unwrap_or(0))
    }
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
    fn new(connection: &'connection Connection, arrival: Arrival<'connection>) -> StoreResult<Self> {
        Ok(Self {
            connection,
            arrival,
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
            payload_size: Size(connection.prepare_cached(
                "SELECT length(CAST(payload AS BLOB)) FROM payload_events WHERE series = ?1 AND iter = ?2",
            )?),
            image_size: Size(connection.prepare_cached(
                "SELECT length(CAST(url AS BLOB)) FROM image_events WHERE series = ?1 AND iter = ?2 AND image_key = ?3",
            )?),
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
        self.owners.push(OpenOwner { key, touched, new_lines: 0, new_bytes: 0, series: None });
        Ok(self.owners.len() - 1)
    }

    fn add(&mut self, owner: usize, event: NewEvent) -> StoreResult<()> {
        let timestamp = event.timestamp.unwrap_or(self.arrival.now / 1000);
        let worker = event.worker.unwrap_or_else(|| self.arrival.worker.to_owned());
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
                let Some(number) = self.open_series(owner, payload.kind(), metric, variant)? else {
                    let limit = self.arrival.limits.series.unwrap_or(u64::MAX);
                    let reason = format!("Too many metrics: a task can have {limit} metrics and variants");
                    *self.rejected.entry(reason).or_default() += 1;
                    return Ok(());
                };
                let series = &mut self.series[number];
                let key = series.row.key;
                let is_new = match payload {
                    Payload::Scalar { value, x_axis_label } => {
                        series.fold_scalar(iter, timestamp, value);
                        series.row.x_axis_label = x_axis_label.or(series.row.x_axis_label.take());
                        self.points.run(params![key, iter, timestamp, value, source, extra])?
                    }
                    Payload::Vector(payload) | Payload::Plot(payload) => {
                        series.row.bytes += payload.len() as i64 - self.payload_size.of(params![key, iter])?;
                        self.payloads.run(params![key, iter, timestamp, payload, source, extra])?
                    }
                    Payload::Image { key: image_key, url } => {
                        series.row.bytes += url.len() as i64 - self.image_size.of(params![key, iter, image_key])?;
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

    /// The number of a series in this batch. `None` when it would be new and its owner has as many as it may have.
    fn open_series(&mut self, owner: usize, kind: Kind, metric: String, variant: String) -> StoreResult<Option<usize>> {
        let name = (owner, kind, metric, variant);
        if let Some(number) = self.series_numbers.get(&name) {
            return Ok(Some(*number));
        }
        let (_, _, metric, variant) = &name;
        let owner_key = self.owners[owner].key;
        let sql = SeriesRow::sql("WHERE s.owner = ?1 AND s.kind = ?2 AND s.metric = ?3 AND s.variant = ?4");
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut found = select.query(params![owner_key, kind.code(), metric, variant])?;
        let row = match found.next()? {
            Some(row) => SeriesRow::read(row)?,
            None => {
                if !self.owners[owner].may_have_another(self.connection, self.arrival.limits)? {
                    return Ok(None);
                }
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
        Ok(Some(number))
    }

    fn finish(mut self) -> StoreResult<Appended> {
        // All that this batch brought is packed and trimmed, and some of what is left over from earlier: so a limit
        // that was lowered is reached in small steps.
        let (packs, trimmed) = (4 + self.added as usize / 256, 1000 + 2 * self.added as i64);
        for OpenSeries { row, edits, .. } in &mut self.series {
            if !edits.is_empty() {
                packs::edit(self.connection, row, std::mem::take(edits))?;
            }
            packs::seal(self.connection, row, packs)?;
            trim_series(self.connection, row, self.arrival.limits, trimmed)?;
            row.save(self.connection)?;
        }
        let mut update = self.connection.prepare_cached(
            "UPDATE event_owners SET log_lines = log_lines + ?2, log_bytes = log_bytes + ?3 WHERE key = ?1",
        )?;
        for owner in self.owners.iter().filter(|owner| owner.new_lines > 0) {
            update.execute(params![owner.key, owner.new_lines, owner.new_bytes])?;
            trim_log(self.connection, owner.key, self.arrival.limits, trimmed)?;
        }
        let touched = self.owners.into_iter().map(|owner| owner.touched).collect();
        Ok(Appended { added: self.added, rejected: self.rejected, touched })
    }
}
