//! The time that a chart is asked for.

use protocols::clearml::error::ApiError;
use serde::Deserialize;

use crate::http::Call;

/// Points that one answer holds at most, over all its series.
pub(super) const MOST_POINTS: i64 = 1_000_000;

/// Times beyond this, in seconds since the epoch, are a mistake: the year 5138.
const FARTHEST: f64 = 1e11;

#[derive(Deserialize)]
struct Arguments {
    from_date: f64,
    to_date: f64,
    interval: f64,
}

/// A stretch of time, cut into intervals. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The beginning.
    pub(super) from: i64,
    /// The end, after the beginning.
    pub(super) to: i64,
    /// Length of an interval; a positive number of whole seconds.
    pub(super) interval: i64,
}

impl Span {
    /// Reads `from_date`, `to_date` (seconds since the epoch) and `interval` (seconds) of a call.
    ///
    /// # Errors
    /// 400/12 for what is no number or no interval, 400/16 for a time that does not begin before its end.
    pub(super) fn of(call: &Call) -> Result<Self, ApiError> {
        let Arguments { from_date, to_date, interval } = call.arguments()?;
        if !(1.0..=FARTHEST).contains(&interval) {
            return Err(ApiError::bad_field("interval", "must be at least 1 second"));
        }
        for (name, date) in [("from_date", from_date), ("to_date", to_date)] {
            if date.abs() > FARTHEST {
                return Err(ApiError::bad_field(name, "must be seconds since the epoch"));
            }
        }
        if from_date >= to_date {
            let details: [(&str, &dyn std::fmt::Display); 2] = [("from_date", &from_date), ("to_date", &to_date)];
            return Err(ApiError::fields_value("from_date must be less than to_date", &details));
        }
        let milliseconds = |seconds: f64| (seconds * 1000.0) as i64;
        Ok(Self { from: milliseconds(from_date), to: milliseconds(to_date), interval: interval as i64 * 1000 })
    }

    /// Refuses an answer of so many series that it would be too large to make and to read.
    ///
    /// # Errors
    /// 400/16.
    pub(super) fn check_size(&self, series: usize) -> Result<(), ApiError> {
        let intervals = (self.to - self.from) / self.interval + 2;
        if intervals.saturating_mul(i64::try_from(series).unwrap_or(i64::MAX)) <= MOST_POINTS {
            return Ok(());
        }
        let why = "too many points: ask for a longer interval or a shorter time";
        Err(ApiError::fields_value(why, &[("most", &MOST_POINTS)]))
    }
}
