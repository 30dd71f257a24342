//! What a task used of its GPUs: the most of it, and means over a while.

use std::collections::BTreeMap;
use std::time::Duration;

use drivers::nvml::GpuSample;
use protocols::clearml::events::ScalarValue;
use protocols::gpu::Lease;
use protocols::ids::{GpuId, TaskId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;
const MIB_PER_GIB: f64 = 1024.0;

/// How a card, or a MIG instance, is used at the moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeviceUse {
    pub(crate) gpu: GpuId,
    /// The card's index.
    pub(crate) index: u32,
    /// How it is, with everybody on it.
    pub(crate) sample: GpuSample,
    /// What the processes of each task hold of its memory, in bytes.
    pub(crate) tasks: BTreeMap<TaskId, u64>,
    /// Nobody can tell whose its processes are: the driver names none, or none that is to be found here, as in a
    /// container.
    pub(crate) is_opaque: bool,
}

/// How a task uses a card of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GpuUse {
    pub(crate) gpu: GpuId,
    /// The card's index.
    pub(crate) index: u32,
    /// What the task's own processes hold of its memory.
    pub(crate) memory_bytes: u64,
    /// How the card is, with everybody on it.
    pub(crate) sample: GpuSample,
}

/// How a task uses what it has leased. All of a whole card is its own, where nobody can tell.
pub(crate) fn of_lease(task: &TaskId, lease: &Lease, devices: &[DeviceUse]) -> Vec<GpuUse> {
    let used = lease.gpus.iter().filter_map(|card| {
        let device = devices.iter().find(|device| device.gpu == card.id)?;
        let everything = device.sample.memory_used_mb.filter(|_| device.is_opaque && lease.share.is_whole());
        let own = device.tasks.get(task).copied();
        let memory_bytes = own.or(everything.map(|mib| (mib * BYTES_PER_MIB) as u64)).unwrap_or(0);
        Some(GpuUse { gpu: card.id.clone(), index: device.index, memory_bytes, sample: device.sample.clone() })
    });
    used.collect()
}

/// The most that a task used of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GpuPeak {
    /// What its own processes held, in MiB.
    pub(crate) memory_mib: f64,
    /// Of the whole card, in percent.
    pub(crate) utilisation_percent: Option<f64>,
    /// In watts.
    pub(crate) power_watts: Option<f64>,
    /// In °C.
    pub(crate) temperature_celsius: Option<f64>,
}

/// Sums of what was seen in a window.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    looks: f64,
    memory_mib: f64,
    card_mib: f64,
    utilisation: (f64, f64),
    temperature: (f64, f64),
    power: (f64, f64),
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    peaks: BTreeMap<u32, GpuPeak>,
    window: BTreeMap<u32, Sums>,
    /// When the task was first seen on a card, and when the window began.
    since: Option<(Instant, Instant)>,
}

/// Values for the task's plots, at this many seconds since it began to use its cards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GpuScalars {
    pub(crate) iteration: i64,
    pub(crate) values: Vec<ScalarValue>,
}

impl Usage {
    /// Adds a look. Gives the means of the window where it is over.
    pub(crate) fn note(&mut self, used: &[GpuUse], window: Duration) -> Option<GpuScalars> {
        let now = Instant::now();
        let (first, began) = *self.since.get_or_insert((now, now));
        for used in used {
            self.peaks.entry(used.index).or_default().note(used);
            self.window.entry(used.index).or_default().note(used);
        }
        if window.is_zero() || now.duration_since(began) < window {
            return None;
        }
        self.since = Some((first, now));
        let iteration = i64::try_from(now.duration_since(first).as_secs()).unwrap_or(i64::MAX);
        let window = std::mem::take(&mut self.window);
        let values = window.iter().flat_map(|(index, sums)| sums.values(*index)).collect();
        Some(GpuScalars { iteration, values })
    }

    /// Goes on from what an earlier daemon saw.
    pub(crate) fn resume(&mut self, peaks: BTreeMap<u32, GpuPeak>) {
        self.peaks = peaks;
    }

    /// The most that was used of each card, by its index.
    pub(crate) fn peaks(&self) -> &BTreeMap<u32, GpuPeak> {
        &self.peaks
    }
}

impl GpuPeak {
    fn note(&mut self, used: &GpuUse) {
        let most = |before: Option<f64>, now: Option<f64>| match (before, now) {
            (Some(before), Some(now)) => Some(before.max(now)),
            (before, now) => before.or(now),
        };
        self.memory_mib = self.memory_mib.max(used.memory_bytes as f64 / BYTES_PER_MIB);
        self.utilisation_percent = most(self.utilisation_percent, used.sample.utilisation_percent);
        self.power_watts = most(self.power_watts, used.sample.power_watts);
        self.temperature_celsius = most(self.temperature_celsius, used.sample.temperature_celsius);
    }
}

impl Sums {
    fn note(&mut self, used: &GpuUse) {
        let add = |(sum, count): &mut (f64, f64), value: Option<f64>| {
            if let Some(value) = value {
                *sum += value;
                *count += 1.0;
            }
        };
        self.looks += 1.0;
        self.memory_mib += used.memory_bytes as f64 / BYTES_PER_MIB;
        self.card_mib = used.sample.memory_used_mb.unwrap_or(0.0) + used.sample.memory_free_mb.unwrap_or(0.0);
        add(&mut self.utilisation, used.sample.utilisation_percent);
        add(&mut self.temperature, used.sample.temperature_celsius);
        add(&mut self.power, used.sample.power_watts);
    }

    /// Under the names that the SDK uses, where it has one for the thing.
    fn values(&self, index: u32) -> Vec<ScalarValue> {
        let mean = |(sum, count): (f64, f64)| (count > 0.0).then(|| sum / count);
        let used = self.memory_mib / self.looks;
        let of_card = (self.card_mib > 0.0).then(|| 100.0 * used / self.card_mib);
        let all = [
            ("utilization", mean(self.utilisation)),
            ("temperature", mean(self.temperature)),
            ("power_watts", mean(self.power)),
            ("mem_used_gb", Some(used / MIB_PER_GIB)),
            ("mem_usage", of_card),
        ];
        let named = |(name, value): (&str, Option<f64>)| {
            Some(ScalarValue { variant: format!("gpu_{index}_{name}"), value: value? })
        };
        all.into_iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use protocols::gpu::{GpuCard, LeaseId, MilliGpu, Share};

    use super::*;

    fn used(mib: u64, utilisation: Option<f64>) -> GpuUse {
        let sample = GpuSample {
            utilisation_percent: utilisation,
            memory_used_mb: Some(1024.0),
            memory_free_mb: Some(3072.0),
            ..GpuSample::unknown("GPU-0".into(), 0)
        };
        GpuUse { gpu: "GPU-0".into(), index: 0, memory_bytes: mib << 20, sample }
    }

    #[test]
    fn all_of_a_whole_card_is_its_holders_where_nobody_can_tell() {
        let used_mib = |share: Share, tasks: &[(&str, u64)], is_opaque: bool| {
            let gpus = vec![GpuCard { id: "GPU-0".into(), index: 0, name: String::new(), memory_bytes: 4096 << 20 }];
            let lease = Lease { id: LeaseId(1), worker: "w".into(), gpus, share };
            let tasks = tasks.iter().map(|(task, mib)| (TaskId::from(*task), mib << 20)).collect();
            let device = DeviceUse { gpu: "GPU-0".into(), index: 0, sample: used(0, None).sample, tasks, is_opaque };
            of_lease(&"t".into(), &lease, &[device])[0].memory_bytes >> 20
        };
        assert_eq!(used_mib(Share::WHOLE, &[("t", 100), ("u", 7)], false), 100);
        assert_eq!(used_mib(Share::WHOLE, &[], true), 1024);
        assert_eq!(used_mib(Share::WHOLE, &[], false), 0, "others are on it");
        assert_eq!(used_mib(Share::slot(MilliGpu(250)), &[], true), 0, "it may be a neighbour's");
    }

    #[tokio::test(start_paused = true)]
    async fn means_are_of_a_window_and_peaks_of_all() {
        let window = Duration::from_secs(30);
        let mut usage = Usage::default();
        assert_eq!(usage.note(&[used(1024, Some(40.0))], window), None);
        tokio::time::advance(Duration::from_secs(30)).await;
        let scalars = usage.note(&[used(3072, Some(60.0))], window).unwrap();
        assert_eq!(scalars.iteration, 30);
        let values: Vec<(&str, f64)> =
            scalars.values.iter().map(|value| (value.variant.as_str(), value.value)).collect();
        assert_eq!(values, [("gpu_0_utilization", 50.0), ("gpu_0_mem_used_gb", 2.0), ("gpu_0_mem_usage", 50.0)]);
        tokio::time::advance(Duration::from_secs(30)).await;
        let scalars = usage.note(&[used(0, None)], window).unwrap();
        assert_eq!((scalars.iteration, scalars.values.len()), (60, 2), "what was not told is left out");
        let peak = usage.peaks()[&0];
        assert_eq!((peak.memory_mib, peak.utilisation_percent), (3072.0, Some(60.0)));
    }
}
