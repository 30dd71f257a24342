//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::histogram::Snapshot;

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a dyn Display)];

/// A page in the making: families of samples, each with its kind and meaning.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// A number that may go up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    /// A number that goes up only.
    pub(super) fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    /// Counts by size.
    pub(super) fn histogram(&mut self, name: &str, help: &str) {
        self.family(name, "histogram", help);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value of the family `name`.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            for (place, (label, value)) in labels.iter().enumerate() {
                let open = if place == 0 { '{' } else { ',' };
                let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(&value.to_string()));
            }
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A histogram of the family `name`, whose values are shown divided by `unit`.
    pub(super) fn buckets(&mut self, name: &str, labels: Labels<'_>, values: &Snapshot, unit: f64) {
        let bucket = format!("{name}_bucket");
        let with_bound = |bound: &dyn Display, text: &mut Self, count: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            text.sample(&bucket, &labels, count);
        };
        for (bound, count) in &values.up_to {
            with_bound(&(*bound as f64 / unit), self, *count);
        }
        with_bound(&"+Inf", self, values.count);
        self.sample(&format!("{name}_sum"), labels, values.sum as f64 / unit);
        self.sample(&format!("{name}_count"), labels, values.count);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::Histogram;
    use super::*;

    #[test]
    fn the_format_is_that_of_prometheus() {
        let mut text = Text::default();
        text.gauge("depth", "Entries.");
        text.sample("depth", &[("queue", &"a \"b\"\\\n")], 3);
        text.counter("all_total", "All.");
        text.sample("all_total", &[], 7);
        let histogram = Histogram::new(&[500, 2_000_000]);
        histogram.observe(400);
        histogram.observe(1_600_000);
        text.histogram("took_seconds", "Time.");
        text.buckets("took_seconds", &[("endpoint", &"x.y")], &histogram.snapshot(), 1e6);
        assert_eq!(
            text.finish(),
            "# HELP depth Entries.\n# TYPE depth gauge\ndepth{queue=\"a \\\"b\\\"\\\\\\n\"} 3\n\
             # HELP all_total All.\n# TYPE all_total counter\nall_total 7\n\
             # HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
             took_seconds_bucket{endpoint=\"x.y\",le=\"0.0005\"} 1\n\
             took_seconds_bucket{endpoint=\"x.y\",le=\"2\"} 2\n\
             took_seconds_bucket{endpoint=\"x.y\",le=\"+Inf\"} 2\n\
             took_seconds_sum{endpoint=\"x.y\"} 1.6004\ntook_seconds_count{endpoint=\"x.y\"} 2\n"
        );
    }
}
