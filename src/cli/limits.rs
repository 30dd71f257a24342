//! How much the server keeps of what tasks report.

use std::time::Duration;

use clap::Args;
use server::EventLimits;

/// Limits of the server. They can be set as variables too, which `up` hands to its server.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "What a task may keep; the oldest goes first; 0 is no limit")]
pub(crate) struct LimitArgs {
    /// Console lines of a task
    #[arg(long, value_name = "N", env = "HOSTLER_MAX_LOG_LINES", default_value_t = 0)]
    max_log_lines: u64,
    /// Console of a task, in MiB
    #[arg(long, value_name = "MIB", env = "HOSTLER_MAX_LOG_MIB", default_value_t = 4096)]
    max_log_mib: u64,
    /// Days that console lines are kept
    #[arg(long, value_name = "DAYS", env = "HOSTLER_MAX_LOG_DAYS", default_value_t = 0)]
    max_log_days: u32,
    /// Metrics of a task, each variant counted; new ones beyond it are refused
    #[arg(long, value_name = "N", env = "HOSTLER_MAX_METRICS", default_value_t = 20_000)]
    max_metrics: u64,
    /// Points of a curve; plots or images of one name
    #[arg(long, value_name = "N", env = "HOSTLER_MAX_METRIC_EVENTS", default_value_t = 10_000_000)]
    max_metric_events: u64,
    /// Plots of one name, in MiB
    #[arg(long, value_name = "MIB", env = "HOSTLER_MAX_METRIC_MIB", default_value_t = 4096)]
    max_metric_mib: u64,
    /// Days that a metric is kept after its last report; its last values stay
    #[arg(long, value_name = "DAYS", env = "HOSTLER_MAX_METRIC_DAYS", default_value_t = 0)]
    max_metric_days: u32,
    /// One uploaded file, in MiB
    #[arg(long, value_name = "MIB", env = "HOSTLER_MAX_UPLOAD_MIB", default_value_t = 0)]
    max_upload_mib: u64,
    /// Room on the disk that events and uploads leave free, in MiB [default: 1024, or 5 % of a disk below 20 GiB]
    #[arg(long, value_name = "MIB", env = "HOSTLER_MIN_FREE_MIB")]
    min_free_mib: Option<u64>,
}

impl LimitArgs {
    /// As the server takes them.
    pub(crate) fn events(&self) -> EventLimits {
        EventLimits {
            log_lines: limit(self.max_log_lines),
            log_bytes: mib(self.max_log_mib),
            series: limit(self.max_metrics),
            series_events: limit(self.max_metric_events),
            series_bytes: mib(self.max_metric_mib),
            log_age: days(self.max_log_days),
            series_age: days(self.max_metric_days),
        }
    }

    /// Bytes of an uploaded file.
    pub(crate) fn upload(&self) -> Option<u64> {
        mib(self.max_upload_mib)
    }

    /// Bytes that are to stay free on the disk.
    pub(crate) fn min_free(&self) -> Option<u64> {
        self.min_free_mib.map(|number| number.saturating_mul(1 << 20))
    }
}

fn limit(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

fn mib(number: u64) -> Option<u64> {
    limit(number).map(|number| number.saturating_mul(1 << 20))
}

fn days(number: u32) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(u64::from(number) * 86_400))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let line = Line::parse_from(["server"]);
        assert_eq!((line.limits.events(), line.limits.upload()), (EventLimits::default(), None));
    }

    #[test]
    fn limits_are_counted_in_units_of_their_names() {
        let line = Line::parse_from(["server", "--max-log-days=2", "--max-metric-mib=0", "--max-upload-mib=3"]);
        let events = line.limits.events();
        assert_eq!((events.log_age, events.series_bytes), (Some(Duration::from_secs(172_800)), None));
        assert_eq!(line.limits.upload(), Some(3 << 20));
    }
}
