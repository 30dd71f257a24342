//! All events of a task in the order of their iterations, in pages.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::{Content, Shown, Stored, series_event};
use super::log::log_lines;
use super::scan::{From, events};
use super::series::{Owner, SeriesRow};
use crate::store::StoreResult;

/// Where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub(crate) enum Cursor {
    /// At the beginning.
    #[default]
    Start,
    /// After an event of a series.
    Series {
        /// Its iteration.
        iter: i64,
        /// Number of its series.
        series: i64,
        /// Key of the image, empty for other kinds.
        key: String,
    },
    /// After a console line; series come before.
    Log {
        /// Its timestamp.
        timestamp: i64,
        /// Its number.
        id: i64,
    },
}

/// What to read.
#[derive(Debug)]
pub(crate) struct MergeQuery<'a> {
    pub(crate) shown: Shown<'a>,
    pub(crate) owner: Owner,
    /// The series to merge.
    pub(crate) series: &'a [SeriesRow],
    /// Whether console lines follow; they have no iteration.
    pub(crate) with_log: bool,
    /// Largest iteration first.
    pub(crate) descending: bool,
    /// Events of a page at most.
    pub(crate) size: usize,
}

/// Reads a page and says where the next one begins. A page that is shorter than its size is the last one; after it
/// the cursor stays where it is and pages are empty.
pub(crate) fn merged_page(
    connection: &Connection,
    query: &MergeQuery<'_>,
    cursor: &Cursor,
) -> StoreResult<(Vec<Value>, Cursor)> {
    let mut page = Vec::new();
    let mut next = cursor.clone();
    if !matches!(cursor, Cursor::Log { .. }) {
        merge_series(connection, query, cursor, &mut page, &mut next)?;
    }
    if query.with_log && page.len() < query.size {
        let from = match (cursor, query.descending) {
            (Cursor::Log { timestamp, id }, _) => (*timestamp, *id),
            (Cursor::Start | Cursor::Series { .. }, false) => (i64::MIN, i64::MIN),
            (Cursor::Start | Cursor::Series { .. }, true) => (i64::MAX, i64::MAX),
        };
        for line in log_lines(connection, query.owner, from, query.descending, query.size - page.len())? {
            next = Cursor::Log { timestamp: line.timestamp, id: line.id };
            page.push(line.into_event(query.shown)?);
        }
    }
    Ok((page, next))
}

fn merge_series(
    connection: &Connection,
    query: &MergeQuery<'_>,
    cursor: &Cursor,
    page: &mut Vec<Value>,
    next: &mut Cursor,
) -> StoreResult<()> {
    // Enough for a page if all series go at one pace; the heap asks for more where one is ahead.
    let chunk = (query.size / query.series.len().max(1) + 2).min(query.size.max(1));
    let mut heap = BinaryHeap::new();
    for series in query.series {
        let from = match cursor {
            Cursor::Series { iter, series: number, key } => match series.key.cmp(number) {
                Ordering::Greater => From::At(*iter),
                Ordering::Less => From::Beyond(*iter),
                Ordering::Equal if key.is_empty() => From::Beyond(*iter),
                Ordering::Equal => From::AfterImage(*iter, key.clone()),
            },
            Cursor::Start | Cursor::Log { .. } => From::Start,
        };
        let mut stream = Stream { series, descending: query.descending, buffer: VecDeque::new() };
        stream.fill(connection, &from, chunk)?;
        if !stream.buffer.is_empty() {
            heap.push(stream);
        }
    }
    while page.len() < query.size {
        let Some(mut stream) = heap.pop() else { break };
        let Some(stored) = stream.buffer.pop_front() else { continue };
        let (iter, key) = position(&stored);
        *next = Cursor::Series { iter, series: stream.series.key, key: key.clone() };
        page.push(series_event(query.shown, stream.series, stored)?);
        if stream.buffer.is_empty() {
            let from = if key.is_empty() { From::Beyond(iter) } else { From::AfterImage(iter, key) };
            stream.fill(connection, &from, chunk)?;
        }
        if !stream.buffer.is_empty() {
            heap.push(stream);
        }
    }
    Ok(())
}

fn position(stored: &Stored) -> (i64, String) {
    match &stored.content {
        Content::Image { key, .. } => (stored.iter, key.clone()),
        Content::Number(_) | Content::Text(_) => (stored.iter, String::new()),
    }
}

/// One series on its way into the merge. The greatest one in the heap comes first.
struct Stream<'a> {
    series: &'a SeriesRow,
    descending: bool,
    buffer: VecDeque<Stored>,
}

impl Stream<'_> {
    fn fill(&mut self, connection: &Connection, from: &From, chunk: usize) -> StoreResult<()> {
        self.buffer = events(connection, self.series, from, self.descending, chunk)?.into();
        Ok(())
    }

    fn head(&self) -> i64 {
        self.buffer.front().map_or(0, |stored| stored.iter)
    }
}

impl Ord for Stream<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_iteration = self.head().cmp(&other.head());
        let by_iteration = if self.descending { by_iteration } else { by_iteration.reverse() };
        // Within an iteration the order of the series is the same in both directions, as the cursor expects.
        by_iteration.then(other.series.key.cmp(&self.series.key))
    }
}

impl PartialOrd for Stream<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stream<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Stream<'_> {}
