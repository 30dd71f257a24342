//! One figure of one worker by intervals.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

/// How the values of an interval become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Aggregation {
    /// Their mean.
    #[default]
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// The values of one interval.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    count: u32,
    sum: f64,
    min: f32,
    max: f32,
}

impl Cell {
    fn add(&mut self, value: f32) {
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.sum += f64::from(value);
        self.count += 1;
    }

    fn value(&self, aggregation: Aggregation) -> Value {
        let value = match (self.count, aggregation) {
            // An interval without a report is not left out.
            (0, _) => 0.0,
            (count, Aggregation::Avg) => (self.sum / f64::from(count)) as f32,
            (_, Aggregation::Min) => self.min,
            (_, Aggregation::Max) => self.max,
        };
        // Seven digits are known; 12.3 is to be shown as 12.3.
        let shown: f64 = value.to_string().parse().unwrap_or_default();
        Number::from_f64(shown).map_or(Value::Null, Value::Number)
    }
}

/// A figure, over all devices and of each.
#[derive(Debug)]
pub(super) struct Series {
    all: Vec<Cell>,
    devices: Vec<Vec<Cell>>,
    most_devices: usize,
    is_empty: bool,
}

impl Series {
    /// A series without values. Devices beyond `most_devices` are not told apart.
    pub(super) fn new(intervals: usize, most_devices: usize) -> Self {
        Self { all: vec![Cell::default(); intervals], devices: Vec::new(), most_devices, is_empty: true }
    }

    /// Adds the values of the devices, or the one value, of a report; NaN is none.
    pub(super) fn add(&mut self, interval: usize, values: impl Iterator<Item = f32>, is_split: bool) {
        for (device, value) in values.enumerate() {
            let is_split = is_split && device < self.most_devices;
            if is_split && self.devices.len() <= device {
                self.devices.push(vec![Cell::default(); self.all.len()]);
            }
            if value.is_nan() {
                continue;
            }
            self.is_empty = false;
            self.all[interval].add(value);
            if is_split {
                self.devices[device][interval].add(value);
            }
        }
    }

    /// Whether no value was added.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// One value for each interval.
    pub(super) fn values(&self, aggregation: Aggregation) -> Value {
        self.all.iter().map(|cell| cell.value(aggregation)).collect()
    }

    /// The values of each device, where there is more than one.
    pub(super) fn resources(&self, aggregation: Aggregation) -> Option<Value> {
        if self.devices.len() < 2 {
            return None;
        }
        let resources = self.devices.iter().enumerate().map(|(device, cells)| {
            let values: Value = cells.iter().map(|cell| cell.value(aggregation)).collect();
            json!({"name": device.to_string(), "values": values})
        });
        Some(resources.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_aggregated_over_all_devices_and_each() {
        let mut series = Series::new(3, 9);
        assert!(series.is_empty());
        series.add(0, [10.0, 30.0].into_iter(), true);
        series.add(0, [20.0, f32::NAN].into_iter(), true);
        series.add(2, [12.3].into_iter(), true);
        let cases = [
            (Aggregation::Avg, json!([20.0, 0.0, 12.3]), json!([[15.0, 0.0, 12.3], [30.0, 0.0, 0.0]])),
            (Aggregation::Min, json!([10.0, 0.0, 12.3]), json!([[10.0, 0.0, 12.3], [30.0, 0.0, 0.0]])),
            (Aggregation::Max, json!([30.0, 0.0, 12.3]), json!([[20.0, 0.0, 12.3], [30.0, 0.0, 0.0]])),
        ];
        for (aggregation, all, each) in cases {
            assert_eq!(series.values(aggregation), all, "{aggregation:?}");
            let resources = series.resources(aggregation).unwrap();
            assert_eq!(json!([resources[0]["values"], resources[1]["values"]]), each, "{aggregation:?}");
            assert_eq!(resources[1]["name"], "1");
        }
    }

    #[test]
    fn one_device_is_not_split() {
        let mut series = Series::new(1, 9);
        series.add(0, [1.0].into_iter(), true);
        assert_eq!(series.resources(Aggregation::Avg), None);
    }
}
