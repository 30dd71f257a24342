//! The figures of a worker's report, packed: per figure its number, how many devices, and four bytes for each.
//!
//! Values are kept to seven digits (single precision): nobody reads a temperature more exactly.

use serde_json::{Map, Value};

/// The figures that workers report in `machine_stats`, with one value for each device or one in total. The place of a
/// figure in this list is what is stored: never change the order, only append.
pub(crate) const FIGURES: &[&str] = &[
    "cpu_usage",
    "cpu_temperature",
    "gpu_usage",
    "gpu_temperature",
    "gpu_memory_free",
    "gpu_memory_used",
    "memory_used",
    "memory_free",
    "network_tx",
    "network_rx",
    "disk_free_home",
    "disk_free_temp",
    "disk_read",
    "disk_write",
];

/// The place of a figure in [`FIGURES`].
pub(crate) fn figure_of(name: &str) -> Option<usize> {
    FIGURES.iter().position(|figure| *figure == name)
}

/// What a figure is about: `cpu`, `gpu`, `memory`, `network`, `disk`.
pub(crate) fn category_of(figure: &str) -> &str {
    figure.split('_').next().unwrap_or(figure)
}

/// The packed figures of one report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures(Vec<u8>);

impl Figures {
    /// Packs `machine_stats`. What is not a figure is left out, and so is what is empty or exactly 0 as a whole: stock
    /// servers keep no such value either.
    pub(crate) fn pack(machine_stats: &Map<String, Value>) -> Self {
        let mut bytes = Vec::new();
        for (place, figure) in FIGURES.iter().enumerate() {
            let values = match machine_stats.get(*figure) {
                Some(Value::Array(values)) => values.iter().map(number).collect(),
                Some(value) => Vec::from_iter(number(value).filter(|value| *value != 0.0).map(Some)),
                None => Vec::new(),
            };
            let count = u8::try_from(values.len()).unwrap_or(u8::MAX);
            if values.iter().any(Option::is_some) {
                bytes.extend([place as u8, count]);
                // A device without a value keeps its place.
                let values = values.into_iter().take(count.into());
                bytes.extend(values.flat_map(|value| value.unwrap_or(f32::NAN).to_le_bytes()));
            }
        }
        Self(bytes)
    }

    /// Reads what [`Figures::as_bytes`] gave.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What is stored.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// One bit for each figure that is there.
    pub(crate) fn mask(&self) -> i64 {
        self.iter().fold(0, |mask, (place, _)| mask | 1 << place)
    }

    /// The figures that are there, by their place in [`FIGURES`]; a device without a value has NaN.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = f32>)> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let [place, count, values @ ..] = rest else { return None };
            let (values, after) = values.split_at_checked(usize::from(*count) * 4)?;
            rest = after;
            let values =
                values.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            Some((usize::from(*place), values))
        })
    }
}

fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pack(stats: Value) -> Figures {
        let Value::Object(stats) = stats else { panic!("an object") };
        Figures::pack(&stats)
    }

    #[test]
    fn the_bytes_are_frozen() {
        let figures = pack(json!({"cpu_usage": [12.5], "memory_used": 1.0}));
        assert_eq!(figures.as_bytes(), [0, 1, 0, 0, 0x48, 0x41, 6, 1, 0, 0, 0x80, 0x3f]);
        assert_eq!(figures.mask(), 0b100_0001);
        assert_eq!(FIGURES.len(), 14, "numbers of figures are stored");
        assert_eq!((figure_of("gpu_usage"), figure_of("disk_write"), figure_of("nonsense")), (Some(2), Some(13), None));
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let stats = json!({"cpu_usage": [], "gpu_usage": [null], "memory_used": 0, "memory_free": 1e300, "other": 1,
            "disk_read": "fast"});
        assert_eq!(pack(stats), Figures::default());
        let gaps = pack(json!({"gpu_usage": [null, 0, 7]}));
        let (place, values) = gaps.iter().next().unwrap();
        let values: Vec<f32> = values.collect();
        assert!(place == 2 && values[0].is_nan() && values[1..] == [0.0, 7.0], "{values:?}");
    }

    #[test]
    fn damaged_bytes_end_the_list() {
        for bytes in [vec![0], vec![0, 200, 1, 2], vec![0, 1, 0, 0, 0x48]] {
            assert_eq!(Figures::from_bytes(bytes).iter().count(), 0);
        }
    }
}
