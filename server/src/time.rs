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
    let moment = TimeZone::UTC.to_datetime(timestamp);
    if moment.year() < 0 {
        return timestamp.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    }
    // By hand: a list of tasks has thousands of these.
    let mut text = *b"0000-00-00T00:00:00.000000+00:00";
    let fields = [
        (0, 4, i32::from(moment.year())),
        (5, 2, i32::from(moment.month())),
        (8, 2, i32::from(moment.day())),
        (11, 2, i32::from(moment.hour())),
        (14, 2, i32::from(moment.minute())),
        (17, 2, i32::from(moment.second())),
        (20, 6, moment.subsec_nanosecond() / 1000),
    ];
    for (start, width, mut number) in fields {
        for digit in text[start..start + width].iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
    }
    text.iter().map(|byte| char::from(*byte)).collect()
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
        for micros in
            [-1, -62_135_596_800_000_000, 253_402_207_200_000_000, -70_000_000_000_000_000, i64::MAX, i64::MIN]
        {
            let timestamp = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
            assert_eq!(to_iso(micros), timestamp.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(), "{micros}");
        }
        for text in ["2023-11-14T22:13:20.123456+00:00", "2023-11-14T22:13:20.123456Z", "2023-11-14 22:13:20.123456"] {
            assert_eq!(from_iso(text), Some(micros), "{text}");
        }
        assert_eq!(from_iso("2023-11-14"), Some(1_699_920_000_000_000));
        assert_eq!(from_iso("yesterday"), None);
    }
}
