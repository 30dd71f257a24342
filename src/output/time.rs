//! Times as people read them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// `2026-11-23 14:05:09` in the local time zone; a text that is no time is given back as it is.
pub(crate) fn local_time(iso: &str) -> String {
    in_zone(iso, TimeZone::system())
}

fn in_zone(iso: &str, zone: TimeZone) -> String {
    // ClearML writes times with an offset, and without one where they are UTC.
    let time = iso.parse::<Timestamp>().or_else(|_| format!("{iso}Z").parse::<Timestamp>());
    time.map_or_else(
        |_| iso.to_owned(),
        |time| ZonedDateTime::new(time, zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// How long ago something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    seconds: i64,
}

impl Age {
    /// Since a number of milliseconds after the epoch.
    pub(crate) fn since_ms(milliseconds: i64) -> Self {
        Self { seconds: (Timestamp::now().as_millisecond() - milliseconds).max(0) / 1000 }
    }

    /// Since a time as ClearML writes it.
    pub(crate) fn since(iso: &str) -> Option<Self> {
        let time = iso.parse::<Timestamp>().or_else(|_| format!("{iso}Z").parse::<Timestamp>()).ok()?;
        Some(Self::since_ms(time.as_millisecond()))
    }
}

impl std::fmt::Display for Age {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.seconds;
        match seconds {
            0..=119 => write!(formatter, "{seconds}s"),
            120..=7199 => write!(formatter, "{}m", seconds / 60),
            7200..=172_799 => write!(formatter, "{}h", seconds / 3600),
            _ => write!(formatter, "{}d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(in_zone("2026-11-23T14:05:09.556161+00:00", TimeZone::UTC), "2026-11-23 14:05:09");
        assert_eq!(in_zone("2026-11-23T14:05:09", TimeZone::UTC), "2026-11-23 14:05:09");
        assert_eq!(in_zone("soon", TimeZone::UTC), "soon");
    }

    #[test]
    fn ages_are_rough() {
        let text = |seconds| Age { seconds }.to_string();
        assert_eq!([text(5), text(300), text(7200), text(200_000)], ["5s", "5m", "2h", "2d"]);
    }
}
