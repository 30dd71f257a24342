//! Time as the store keeps it (microseconds since the epoch) and as the API shows it.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// Microseconds since 1970-01-01 UTC.
pub(crate) type Micros = i64;

/// Now.
pub(crate) fn now() -> Micros {
    Timestamp::now().as_microsecond()
}

/// ISO 8601 with six digits and `+00:00`, as the API shows every time.
pub(crate) fn to_iso(micros: Micros) -> String {
    let timestamp = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// Reads ISO 8601 in the forms that clients send: with `T` or a space, with an offset or without (then UTC),
/// or a date alone.
pub(crate) fn from_iso(text: &str) -> Option<Micros> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_microsecond());
    }
    let civil = text.parse::<civil::DateTime>().ok()?;
    Some(TimeZone::UTC.to_timestamp(civil).ok()?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_wire() {
        let micros = 1_700_000_000_123_456;
        assert_eq!(to_iso(micros), "2023-11-14T22:13:20.123456+00:00");
        assert_eq!(to_iso(0), "1970-01-01T00:00:00.000000+00:00");
        for text in ["2023-11-14T22:13:20.123456+00:00", "2023-11-14T22:13:20.123456Z", "2023-11-14 22:13:20.123456"] {
            assert_eq!(from_iso(text), Some(micros), "{text}");
        }
        assert_eq!(from_iso("2023-11-14"), Some(1_699_920_000_000_000));
        assert_eq!(from_iso("yesterday"), None);
    }
}
