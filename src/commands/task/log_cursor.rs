//! Which console events have been printed: none twice, none left out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use protocols::clearml::events::LogEvent;

/// Events may arrive with a time stamp that lies so far before the newest, in milliseconds.
const LATE_MS: i64 = 2_000;

/// Remembers, by digest, how often each event was printed. Two events with the same text, worker and time stamp
/// are two events.
#[derive(Debug, Default)]
pub(super) struct LogCursor {
    printed: HashMap<u64, u32>,
    count: u64,
    newest_ms: Option<i64>,
    floor_ms: Option<i64>,
}

impl LogCursor {
    /// From now on older events are not wanted.
    pub(super) fn leave_out_before(&mut self, timestamp_ms: i64) {
        self.floor_ms = Some(timestamp_ms);
    }

    /// From where to ask, so that late ones come too; `None` from the beginning.
    pub(super) fn next_from(&self, now_ms: i64) -> Option<i64> {
        // A stock agent stamps a flood of lines into the future: those must not hide what comes now.
        self.newest_ms.map(|newest| newest.min(now_ms) - LATE_MS)
    }

    /// Of a stretch of the log without gaps, those that are new.
    pub(super) fn take(&mut self, events: Vec<LogEvent>) -> Vec<LogEvent> {
        let mut in_stretch: HashMap<u64, u32> = HashMap::new();
        let mut new = Vec::new();
        for event in events.into_iter().filter(|event| self.floor_ms.is_none_or(|floor| event.timestamp >= floor)) {
            let digest = digest(&event);
            let seen = in_stretch.entry(digest).or_default();
            *seen += 1;
            let printed = self.printed.entry(digest).or_default();
            if *seen > *printed {
                *printed = *seen;
                self.count += 1;
                self.newest_ms = self.newest_ms.max(Some(event.timestamp));
                new.push(event);
            }
        }
        new
    }

    /// How many were printed.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

fn digest(event: &LogEvent) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event.timestamp, event.worker.as_str(), &event.level, &event.msg).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use protocols::ids::{TaskId, WorkerId};

    use super::*;

    fn event(timestamp: i64, msg: &str) -> LogEvent {
        LogEvent::new(TaskId::from("t"), WorkerId::from("w"), "DEBUG", msg.to_owned(), timestamp)
    }

    fn texts(events: &[LogEvent]) -> Vec<&str> {
        events.iter().map(|event| event.msg.as_str()).collect()
    }

    #[test]
    fn overlapping_stretches_print_each_event_once() {
        let mut cursor = LogCursor::default();
        assert_eq!(cursor.next_from(99_999), None);
        assert_eq!(texts(&cursor.take(vec![event(1, "a"), event(2, "b")])), ["a", "b"]);
        assert_eq!(
            texts(&cursor.take(vec![event(1, "a"), event(1, "late"), event(2, "b"), event(3, "c")])),
            ["late", "c"]
        );
        assert_eq!(cursor.count(), 4);
    }

    #[test]
    fn equal_events_are_counted() {
        let mut cursor = LogCursor::default();
        assert_eq!(cursor.take(vec![event(1, "."), event(1, ".")]).len(), 2);
        assert_eq!(cursor.take(vec![event(1, "."), event(1, "."), event(1, ".")]).len(), 1);
    }

    #[test]
    fn what_was_left_out_stays_out() {
        let mut cursor = LogCursor::default();
        cursor.leave_out_before(5);
        assert_eq!(texts(&cursor.take(vec![event(5, "a"), event(6, "b")])), ["a", "b"]);
        assert_eq!(texts(&cursor.take(vec![event(4, "old"), event(5, "a"), event(6, "b"), event(6, "c")])), ["c"]);
    }

    #[test]
    fn the_future_does_not_hide_the_present() {
        let mut cursor = LogCursor::default();
        cursor.take(vec![event(1_000_000, "future")]);
        assert_eq!(cursor.next_from(50_000), Some(48_000));
        assert_eq!(cursor.next_from(2_000_000), Some(998_000));
    }
}
