//! How the cards are, for heartbeats.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use protocols::ids::GpuId;

use super::NvmlProbe;
use super::library::instances_of;

const BYTES_PER_MB: f64 = 1024.0 * 1024.0;

/// How one card is. What the card does not tell is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuSample {
    /// Its UUID.
    pub id: GpuId,
    /// Its index in PCI bus order.
    pub index: u32,
    /// How much of the time something ran on it, in percent.
    pub utilisation_percent: Option<f64>,
    /// Temperature of the chip, in °C.
    pub temperature_celsius: Option<f64>,
    /// Memory in use, in MB (1024²).
    pub memory_used_mb: Option<f64>,
    /// Free memory, in MB (1024²).
    pub memory_free_mb: Option<f64>,
    /// Power drawn, in watts.
    pub power_watts: Option<f64>,
}

impl GpuSample {
    /// A sample of a card that told nothing.
    pub fn unknown(id: GpuId, index: u32) -> Self {
        Self {
            id,
            index,
            utilisation_percent: None,
            temperature_celsius: None,
            memory_used_mb: None,
            memory_free_mb: None,
            power_watts: None,
        }
    }

    /// What a card tells.
    pub(super) fn of(device: &Device<'_>, id: GpuId, index: u32) -> Self {
        let memory = device.memory_info().ok();
        let megabytes = |bytes: u64| bytes as f64 / BYTES_PER_MB;
        Self {
            id,
            index,
            utilisation_percent: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu)),
            temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            memory_used_mb: memory.as_ref().map(|memory| megabytes(memory.used)),
            memory_free_mb: memory.as_ref().map(|memory| megabytes(memory.free)),
            power_watts: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0),
        }
    }
}

impl NvmlProbe {
    /// How the cards are now, each followed by its MIG devices. A card that does not answer is left out, or is there
    /// with what it told. Blocks.
    pub fn sample(&self) -> Vec<GpuSample> {
        let count = self.nvml.device_count().unwrap_or_else(|error| {
            tracing::debug!(%error, "the NVIDIA driver does not tell how many cards there are");
            0
        });
        (0..count)
            .flat_map(|index| {
                self.sample_card(index).unwrap_or_else(|error| {
                    tracing::debug!(index, %error, "a GPU does not answer");
                    Vec::new()
                })
            })
            .collect()
    }

    fn sample_card(&self, index: u32) -> Result<Vec<GpuSample>, nvml_wrapper::error::NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        let mut samples = vec![GpuSample::of(&device, GpuId::from(device.uuid()?), index)];
        for instance in instances_of(&device) {
            samples.push(GpuSample::of(&instance, GpuId::from(instance.uuid()?), index));
        }
        Ok(samples)
    }
}
