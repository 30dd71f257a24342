//! How long the preparation of a task took, as a plot of the task.

use protocols::clearml::events::{ScalarEvent, ScalarValue};
use protocols::failure::Phase;
use protocols::ids::{TaskId, WorkerId};

/// Title of the plot.
const PREPARATION: &str = ":hostler:preparation";

/// One point for each phase, in seconds.
pub(super) fn preparation(task: &TaskId, worker: &WorkerId, phases: &[(Phase, u64)], now_ms: i64) -> Vec<ScalarEvent> {
    let point = |(phase, milliseconds): &(Phase, u64)| {
        let value = ScalarValue { variant: format!("{phase} (s)"), value: *milliseconds as f64 / 1000.0 };
        ScalarEvent::new(task.clone(), worker.clone(), PREPARATION, value, 0, now_ms)
    };
    phases.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_a_point() {
        let phases = [(Phase::Checkout, 50), (Phase::Environment, 1250)];
        let points = preparation(&"t".into(), &"w".into(), &phases, 7);
        let seen: Vec<(&str, f64)> = points.iter().map(|point| (point.variant.as_str(), point.value)).collect();
        assert_eq!(seen, [("checkout (s)", 0.05), ("environment (s)", 1.25)]);
    }
}
