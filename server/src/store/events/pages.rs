//! Plots and images by iteration, as they are shown in pages.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::Value;

use super::json::{Content, Shown, series_event};
use super::scan::{From, at_iteration, events, iterations};
use super::series::SeriesRow;
use crate::store::StoreResult;

/// At most `count` iterations in which one of the series has an event, out of those in `range`: the latest ones, or
/// with `latest` false the earliest ones. In the direction of reading.
pub(crate) fn iterations_of(
    connection: &Connection,
    series: &[SeriesRow],
    range: (i64, i64),
    latest: bool,
    count: usize,
) -> StoreResult<Vec<i64>> {
    let mut found = BTreeSet::new();
    for one in series {
        found.extend(iterations(connection, one, range, latest, count)?);
    }
    Ok(if latest { found.into_iter().rev().take(count).collect() } else { found.into_iter().take(count).collect() })
}

/// The events of all the series in one iteration.
pub(crate) fn events_at(
    connection: &Connection,
    shown: Shown<'_>,
    series: &[SeriesRow],
    iter: i64,
) -> StoreResult<Vec<Value>> {
    let mut events = Vec::new();
    for one in series {
        for stored in at_iteration(connection, one, iter)? {
            events.push(series_event(shown, one, stored)?);
        }
    }
    Ok(events)
}

/// The events of the last `count` iterations of each of the series, with their iteration, the latest first.
pub(crate) fn last_events(
    connection: &Connection,
    shown: Shown<'_>,
    series: &SeriesRow,
    count: usize,
) -> StoreResult<Vec<(i64, Value)>> {
    let mut events = Vec::new();
    for iter in iterations(connection, series, (i64::MIN, i64::MAX), true, count)? {
        for stored in at_iteration(connection, series, iter)? {
            events.push((iter, series_event(shown, series, stored)?));
        }
    }
    Ok(events)
}

/// The vectors of the last `count` iterations of a series, with their iteration, in the order of it.
pub(crate) fn vectors(connection: &Connection, series: &SeriesRow, count: usize) -> StoreResult<Vec<(i64, Value)>> {
    let latest = events(connection, series, &From::Start, true, count)?;
    let vectors = latest.into_iter().rev().filter_map(|stored| match stored.content {
        Content::Text(text) => Some(serde_json::from_str(&text).map(|vector| (stored.iter, vector))),
        Content::Number(_) | Content::Image { .. } => None,
    });
    Ok(vectors.collect::<Result<_, _>>()?)
}
