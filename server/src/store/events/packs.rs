//! Curves in packs: a second, dense copy of the points up to some iteration, for readers of whole curves.
//!
//! The rows of `scalar_points` are the truth. The transaction that changes them changes the packs too; points after
//! the last pack are read from their rows, and become a pack when there are enough of them. So an append touches no
//! pack but once in [`PACK`] points, and a curve is always read whole.

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::model::{Kind, SINGLE_VALUE_ITER};
use super::pack::{self, Times};
use super::sampler::Sampler;
use super::scalars::{RawPoint, point};
use super::series::SeriesRow;
use crate::store::{StoreError, StoreResult};

/// Points of a new pack. One that grows to twice as many is divided.
const PACK: usize = if cfg!(test) { 8 } else { 512 };

/// Points after the last pack from which on some of them become a pack.
pub(super) const LOOSE_POINTS: i64 = 2 * PACK as i64;

/// A row of `scalar_packs`, without its content.
struct PackRow {
    key: i64,
    first_iter: i64,
    points: usize,
}

impl PackRow {
    /// Reads the columns `key, first_iter, points`.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let points = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        Ok(Self { key: row.get(0)?, first_iter: row.get(1)?, points })
    }
}

fn damaged(series: i64) -> StoreError {
    ApiError::inconsistent_data("a pack of points is damaged: rebuild them", &[("series", &series)]).into()
}

fn read_points(series: i64, row: &PackRow, content: &[u8], times: Times) -> StoreResult<Vec<RawPoint>> {
    pack::decode(content, row.points, row.first_iter, times).ok_or_else(|| damaged(series))
}

/// Makes packs of the points after the last pack, as long as there are enough of them, and `at_most` in all. The row of
/// the series is left to the caller to store. Returns whether nothing is left to do.
pub(super) fn seal(connection: &Connection, series: &mut SeriesRow, at_most: usize) -> StoreResult<bool> {
    for _ in 0..at_most {
        if series.events - series.packed < LOOSE_POINTS {
            return Ok(true);
        }
        let points = points_after(connection, series, PACK)?;
        let Some(last) = points.last() else { return Ok(true) };
        insert(connection, series.key, &points)?;
        series.packed_to = Some(last.iter);
        series.packed += points.len() as i64;
    }
    Ok(series.events - series.packed < LOOSE_POINTS)
}

/// The first points that are in no pack.
fn points_after(connection: &Connection, series: &SeriesRow, limit: usize) -> StoreResult<Vec<RawPoint>> {
    let Some(from) = series.first_loose() else { return Ok(Vec::new()) };
    let mut select = connection.prepare_cached(
        "SELECT iter, timestamp, value FROM scalar_points \
         WHERE series = ?1 AND iter >= ?2 AND iter <> ?3 ORDER BY iter LIMIT ?4",
    )?;
    let points = select.query_map(params![series.key, from, SINGLE_VALUE_ITER, limit as i64], point)?;
    Ok(points.collect::<Result<_, _>>()?)
}

fn insert(connection: &Connection, series: i64, points: &[RawPoint]) -> StoreResult<()> {
    let Some(summary) = Summary::of(points) else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO scalar_packs (series, first_iter, last_iter, first_time, last_time, points, mean, content) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            series,
            summary.iters.0,
            summary.iters.1,
            summary.times.0,
            summary.times.1,
            points.len() as i64,
            summary.mean,
            pack::encode(points),
        ])?;
    Ok(())
}

/// What the row of a pack says of its points.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Summary {
    iters: (i64, i64),
    times: (i64, i64),
    mean: f64,
}

impl Summary {
    fn of(points: &[RawPoint]) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        let mut sampler = Sampler::new(first.iter, last.iter, 1);
        points.iter().for_each(|point| sampler.add(point.iter, point.value));
        let times = || points.iter().map(|point| point.timestamp);
        Some(Self {
            iters: (first.iter, last.iter),
            times: (times().min()?, times().max()?),
            mean: *sampler.finish().y.first()?,
        })
    }
}

/// Takes over points that were stored at iterations which packs cover: new ones, and new values of old ones. Of points
/// with the same iteration the last one counts. The row of the series is left to the caller to store.
pub(super) fn edit(connection: &Connection, series: &mut SeriesRow, mut edits: Vec<RawPoint>) -> StoreResult<()> {
    edits.sort_by_key(|edit| edit.iter);
    let mut edits = edits.into_iter().peekable();
    while let Some(first) = edits.peek().map(|first| first.iter) {
        let pack = find(connection, series.key, first)?;
        let begin = pack.as_ref().map_or(first, |pack| first.max(pack.first_iter));
        let next: Option<i64> = connection
            .prepare_cached("SELECT min(first_iter) FROM scalar_packs WHERE series = ?1 AND first_iter > ?2")?
            .query_row(params![series.key, begin], |row| row.get(0))?;
        let mut points = match &pack {
            Some(pack) => load(connection, series.key, pack)?,
            // They were cut off.
            None => Vec::new(),
        };
        let before = points.len() as i64;
        while let Some(edit) = edits.next_if(|edit| next.is_none_or(|next| edit.iter < next)) {
            match points.binary_search_by_key(&edit.iter, |point| point.iter) {
                Ok(position) => points[position] = edit,
                Err(position) => points.insert(position, edit),
            }
        }
        series.packed += points.len() as i64 - before;
        replace(connection, series.key, pack.as_ref(), &points)?;
    }
    Ok(())
}

/// The pack that an iteration belongs to: the last one that begins at or before it, or the first one.
fn find(connection: &Connection, series: i64, iter: i64) -> StoreResult<Option<PackRow>> {
    let select = "SELECT key, first_iter, points FROM scalar_packs WHERE series = ?1";
    let before = connection
        .prepare_cached(&format!("{select} AND first_iter <= ?2 ORDER BY first_iter DESC LIMIT 1"))?
        .query_row(params![series, iter], PackRow::read)
        .optional()?;
    if before.is_some() {
        return Ok(before);
    }
    let mut first = connection.prepare_cached(&format!("{select} ORDER BY first_iter LIMIT 1"))?;
    Ok(first.query_row([series], PackRow::read).optional()?)
}

fn load(connection: &Connection, series: i64, pack: &PackRow) -> StoreResult<Vec<RawPoint>> {
    let content: Vec<u8> = connection
        .prepare_cached("SELECT content FROM scalar_packs WHERE key = ?1")?
        .query_row([pack.key], |row| row.get(0))?;
    read_points(series, pack, &content, Times::Read)
}

/// Puts these points in the place of a pack: as one pack, as several if they are many, as none if there are none.
fn replace(connection: &Connection, series: i64, pack: Option<&PackRow>, points: &[RawPoint]) -> StoreResult<()> {
    if let Some(pack) = pack {
        connection.prepare_cached("DELETE FROM scalar_packs WHERE key = ?1")?.execute([pack.key])?;
    }
    let size = if points.len() < 2 * PACK { 2 * PACK } else { PACK };
    points.chunks(size).try_for_each(|points| insert(connection, series, points))
}

/// Takes the points up to an iteration, that one included, out of the packs, after their rows were deleted. The row of
/// the series is left to the caller to store.
pub(super) fn cut(connection: &Connection, series: &mut SeriesRow, to: i64) -> StoreResult<()> {
    let gone: i64 = connection
        .prepare_cached("SELECT coalesce(sum(points), 0) FROM scalar_packs WHERE series = ?1 AND first_iter <= ?2 AND last_iter <= ?2")?
        .query_row(params![series.key, to], |row| row.get(0))?;
    connection
        .prepare_cached("DELETE FROM scalar_packs WHERE series = ?1 AND first_iter <= ?2 AND last_iter <= ?2")?
        .execute(params![series.key, to])?;
    series.packed -= gone;
    if let Some(pack) = find(connection, series.key, to)?.filter(|pack| pack.first_iter <= to) {
        let mut points = load(connection, series.key, &pack)?;
        let before = points.len() as i64;
        points.retain(|point| point.iter > to);
        series.packed -= before - points.len() as i64;
        replace(connection, series.key, Some(&pack), &points)?;
    }
    Ok(())
}

/// Gives all points of a curve to a sampler over the iterations, packs that lie in one of its parts as a whole.
pub(super) fn sample_by_iteration(
    connection: &Connection,
    series: &SeriesRow,
    sampler: &mut Sampler,
    low: i64,
) -> StoreResult<()> {
    let mut select = connection.prepare_cached(
        "SELECT key, first_iter, points, mean, \
         CASE WHEN (first_iter - ?2) / ?3 = (last_iter - ?2) / ?3 THEN NULL ELSE content END \
         FROM scalar_packs WHERE series = ?1 ORDER BY first_iter",
    )?;
    // Divided by 0 is NULL: then every pack is unpacked.
    let mut rows = select.query(params![series.key, low, sampler.small_width().unwrap_or(0)])?;
    while let Some(row) = rows.next()? {
        let pack = PackRow::read(row)?;
        match row.get_ref(4)?.as_blob_or_null().map_err(|_| damaged(series.key))? {
            None => sampler.add_many(pack.first_iter, row.get(3)?, pack.points as u64),
            Some(content) => {
                let points = read_points(series.key, &pack, content, Times::Skip)?;
                points.iter().for_each(|point| sampler.add(point.iter, point.value));
            }
        }
    }
    each_loose(connection, series, |point| sampler.add(point.iter, point.value))
}

/// Calls `each` for every point of a curve, with its timestamp.
pub(super) fn each_point(
    connection: &Connection,
    series: &SeriesRow,
    mut each: impl FnMut(RawPoint),
) -> StoreResult<()> {
    let mut select = connection.prepare_cached(
        "SELECT key, first_iter, points, content FROM scalar_packs WHERE series = ?1 ORDER BY first_iter",
    )?;
    let mut rows = select.query([series.key])?;
    while let Some(row) = rows.next()? {
        let pack = PackRow::read(row)?;
        let content = row.get_ref(3)?.as_blob().map_err(|_| damaged(series.key))?;
        read_points(series.key, &pack, content, Times::Read)?.into_iter().for_each(&mut each);
    }
    each_loose(connection, series, each)
}

fn each_loose(connection: &Connection, series: &SeriesRow, mut each: impl FnMut(RawPoint)) -> StoreResult<()> {
    let Some(from) = series.first_loose() else { return Ok(()) };
    let mut select = connection.prepare_cached(
        "SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter >= ?2 AND iter <> ?3 ORDER BY iter",
    )?;
    let mut rows = select.query(params![series.key, from, SINGLE_VALUE_ITER])?;
    while let Some(row) = rows.next()? {
        each(point(row)?);
    }
    Ok(())
}

/// Least and greatest timestamp of a curve.
pub(super) fn times(connection: &Connection, series: &SeriesRow) -> StoreResult<Option<(i64, i64)>> {
    let packed: (Option<i64>, Option<i64>) = connection
        .prepare_cached("SELECT min(first_time), max(last_time) FROM scalar_packs WHERE series = ?1")?
        .query_row([series.key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut times = packed.0.zip(packed.1);
    each_loose(connection, series, |point| {
        let (low, high) = times.unwrap_or((point.timestamp, point.timestamp));
        times = Some((low.min(point.timestamp), high.max(point.timestamp)));
    })?;
    Ok(times)
}

/// Compares the packs of a series with the rows that they are made of; the text says what differs.
pub(super) fn difference(connection: &Connection, series: &SeriesRow) -> StoreResult<Option<String>> {
    let mut select = connection.prepare_cached(
        "SELECT iter, timestamp, value FROM scalar_points WHERE series = ?1 AND iter <= ?2 AND iter <> ?3 ORDER BY iter",
    )?;
    // Without a mark up to where, no point is in a pack: every iteration is greater than NULL is.
    let mut rows = select.query(params![series.key, series.packed_to, SINGLE_VALUE_ITER])?;
    let mut select = connection.prepare_cached(
        "SELECT key, first_iter, points, content, last_iter, first_time, last_time, mean FROM scalar_packs \
         WHERE series = ?1 ORDER BY first_iter",
    )?;
    let mut packs = select.query([series.key])?;
    let mut packed = 0;
    while let Some(row) = packs.next()? {
        let pack = PackRow::read(row)?;
        let content = row.get_ref(3)?.as_blob().unwrap_or_default();
        let Some(points) = pack::decode(content, pack.points, pack.first_iter, Times::Read) else {
            return Ok(Some(format!("the pack from iteration {} on cannot be read", pack.first_iter)));
        };
        let stored =
            Summary { iters: (pack.first_iter, row.get(4)?), times: (row.get(5)?, row.get(6)?), mean: row.get(7)? };
        if Summary::of(&points) != Some(stored) {
            let first = pack.first_iter;
            return Ok(Some(format!("the pack from iteration {first} on says of its points what they do not")));
        }
        packed += points.len() as i64;
        for packed in points {
            let stored = rows.next()?.map(point).transpose()?;
            if stored != Some(packed) {
                return Ok(Some(format!("the packs differ from the points at iteration {}", packed.iter)));
            }
        }
    }
    if let Some(row) = rows.next()? {
        return Ok(Some(format!("the point at iteration {} is in no pack", point(row)?.iter)));
    }
    Ok((packed != series.packed).then(|| format!("{packed} points are in packs, {} are counted", series.packed)))
}

/// Every curve whose packs are not made of its points: whose it is, its name, and what differs.
pub(crate) fn differences(connection: &Connection) -> StoreResult<Vec<String>> {
    let sql = SeriesRow::sql("JOIN event_owners o ON o.key = s.owner AND o.owner IS NOT NULL WHERE s.kind = ?1");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([Kind::Scalar.code()])?;
    let mut owner_of = connection
        .prepare("SELECT o.owner FROM event_owners o JOIN event_series s ON s.owner = o.key WHERE s.key = ?1")?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let series = SeriesRow::read(row)?;
        if let Some(what) = difference(connection, &series)? {
            let owner: String = owner_of.query_row([series.key], |row| row.get(0))?;
            found.push(format!("{owner}, {}/{}: {what}", series.metric, series.variant));
        }
    }
    Ok(found)
}

#[cfg(test)]
/// Throws the packs of a series away; they are made again as points arrive, or by the housekeeper.
pub(crate) fn discard(connection: &Connection, series: i64) -> StoreResult<()> {
    connection.prepare_cached("DELETE FROM scalar_packs WHERE series = ?1")?.execute([series])?;
    connection
        .prepare_cached("UPDATE event_series SET packed = 0, packed_to = NULL WHERE key = ?1")?
        .execute([series])?;
    Ok(())
}
