//! NVIDIA's management library: which cards there are and how they are.
//!
//! The library is loaded at run time, so that one binary serves machines with and without GPUs. Calls block for
//! milliseconds, more on a sick card: not for an actor's thread.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::{Device, Nvml};
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

/// Where the library is looked for, in this order: drivers without development files have the first only.
const SYSTEM_LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

const BYTES_PER_MB: f64 = 1024.0 * 1024.0;

/// Why the cards cannot be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NvmlError {
    /// No library: no NVIDIA driver on this machine, or not where it was said to be.
    #[error(
        "the NVIDIA management library {library} cannot be loaded ({why}): no NVIDIA driver, or its files are not visible here"
    )]
    NotInstalled {
        /// The file name or path that was tried last.
        library: String,
        /// What the loader said.
        why: String,
    },
    /// The library is there and the driver behind it is not usable.
    #[error("the NVIDIA driver cannot be used")]
    NotUsable {
        /// What the library said.
        #[source]
        source: Arc<nvml_wrapper::error::NvmlError>,
    },
    /// There are cards and none can be asked; this is the first.
    #[error("GPU {index} cannot be read")]
    Card {
        /// Its index.
        index: u32,
        /// What the library said.
        #[source]
        source: Arc<nvml_wrapper::error::NvmlError>,
    },
}

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
}

/// Knows the cards of this machine.
pub trait GpuProbe: Send + Sync + fmt::Debug + 'static {
    /// All cards that can be read, in PCI bus order; an error where there are some and none can be. Blocks.
    fn inventory(&self) -> Result<Vec<GpuCard>, NvmlError>;

    /// How the cards are now. A card that does not answer is left out, or is there with what it told. Blocks.
    fn sample(&self) -> Vec<GpuSample>;
}

/// The real library.
pub struct NvmlProbe {
    nvml: Nvml,
}

impl NvmlProbe {
    /// Loads the library from `library`, or from the system.
    pub fn load(library: Option<PathBuf>) -> Result<Self, NvmlError> {
        let named = library.map(PathBuf::into_os_string);
        let candidates: Vec<&OsStr> = match &named {
            Some(path) => vec![path],
            None => SYSTEM_LIBRARIES.iter().map(OsStr::new).collect(),
        };
        let mut missing = None;
        for candidate in candidates {
            match Nvml::builder().lib_path(candidate).init() {
                Ok(nvml) => return Ok(Self { nvml }),
                Err(nvml_wrapper::error::NvmlError::LibloadingError(error)) => {
                    let library = candidate.to_string_lossy().into_owned();
                    // The first complaint is about the name that drivers install.
                    missing.get_or_insert(NvmlError::NotInstalled { library, why: error.to_string() });
                }
                Err(source) => return Err(NvmlError::NotUsable { source: Arc::new(source) }),
            }
        }
        Err(missing.expect("at least one candidate was tried"))
    }

    fn card(&self, index: u32) -> Result<GpuCard, nvml_wrapper::error::NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        Ok(GpuCard {
            id: GpuId::from(device.uuid()?),
            index,
            name: device.name().unwrap_or_default(),
            memory_bytes: device.memory_info().map_or(0, |memory| memory.total),
        })
    }

    fn sample_card(&self, index: u32) -> Result<GpuSample, nvml_wrapper::error::NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        let mut sample = GpuSample::unknown(GpuId::from(device.uuid()?), index);
        measure(&device, &mut sample);
        Ok(sample)
    }
}

fn measure(device: &Device<'_>, sample: &mut GpuSample) {
    sample.utilisation_percent = device.utilization_rates().ok().map(|rates| f64::from(rates.gpu));
    sample.temperature_celsius = device.temperature(TemperatureSensor::Gpu).ok().map(f64::from);
    sample.power_watts = device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0);
    if let Ok(memory) = device.memory_info() {
        sample.memory_used_mb = Some(memory.used as f64 / BYTES_PER_MB);
        sample.memory_free_mb = Some(memory.free as f64 / BYTES_PER_MB);
    }
}

impl GpuProbe for NvmlProbe {
    fn inventory(&self) -> Result<Vec<GpuCard>, NvmlError> {
        let count = self.nvml.device_count().map_err(|source| NvmlError::NotUsable { source: Arc::new(source) })?;
        let mut cards = Vec::new();
        let mut unreadable = None;
        for index in 0..count {
            match self.card(index) {
                Ok(card) => cards.push(card),
                Err(source) => {
                    tracing::warn!(index, %source, "a GPU cannot be read and is left out");
                    unreadable.get_or_insert(NvmlError::Card { index, source: Arc::new(source) });
                }
            }
        }
        match unreadable {
            Some(error) if cards.is_empty() => Err(error),
            _ => Ok(cards),
        }
    }

    fn sample(&self) -> Vec<GpuSample> {
        let count = self.nvml.device_count().unwrap_or_else(|error| {
            tracing::debug!(%error, "the NVIDIA driver does not tell how many cards there are");
            0
        });
        (0..count)
            .filter_map(|index| match self.sample_card(index) {
                Ok(sample) => Some(sample),
                Err(error) => {
                    tracing::debug!(index, %error, "a GPU does not answer");
                    None
                }
            })
            .collect()
    }
}

impl fmt::Debug for NvmlProbe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NvmlProbe").finish_non_exhaustive()
    }
}

/// A machine with the cards that a test gives it.
#[cfg(any(test, feature = "fakes"))]
#[derive(Clone, Debug, Default)]
pub struct FakeGpus {
    cards: Vec<GpuCard>,
    samples: Arc<std::sync::Mutex<std::collections::BTreeMap<GpuId, GpuSample>>>,
}

#[cfg(any(test, feature = "fakes"))]
impl FakeGpus {
    /// `count` cards named `GPU-0`, `GPU-1`, .. of 16 GiB each.
    pub fn with_cards(count: u32) -> Self {
        let card = |index: u32| GpuCard {
            id: GpuId::new(format!("GPU-{index}")),
            index,
            name: "Fake GPU".to_owned(),
            memory_bytes: 16 << 30,
        };
        Self { cards: (0..count).map(card).collect(), samples: Arc::default() }
    }

    /// What a card tells from now on.
    pub fn set_sample(&self, sample: GpuSample) {
        let mut samples = self.samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        samples.insert(sample.id.clone(), sample);
    }
}

#[cfg(any(test, feature = "fakes"))]
impl GpuProbe for FakeGpus {
    fn inventory(&self) -> Result<Vec<GpuCard>, NvmlError> {
        Ok(self.cards.clone())
    }

    fn sample(&self) -> Vec<GpuSample> {
        let samples = self.samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.cards
            .iter()
            .map(|card| {
                let unknown = || GpuSample::unknown(card.id.clone(), card.index);
                samples.get(&card.id).cloned().unwrap_or_else(unknown)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_a_clear_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("libnvidia-ml.so.1");
        let error = NvmlProbe::load(Some(path.clone())).unwrap_err();
        assert!(matches!(error, NvmlError::NotInstalled { .. }), "{error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    }

    #[test]
    fn a_file_that_is_no_library_is_a_clear_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("libnvidia-ml.so.1");
        std::fs::write(&path, "not a library").unwrap();
        assert!(matches!(NvmlProbe::load(Some(path)), Err(NvmlError::NotInstalled { .. })));
    }

    #[test]
    fn fake_cards_tell_what_they_were_told() {
        let gpus = FakeGpus::with_cards(2);
        let cards = gpus.inventory().unwrap();
        let hot = GpuSample { temperature_celsius: Some(90.0), ..GpuSample::unknown(cards[1].id.clone(), 1) };
        gpus.set_sample(hot.clone());
        assert_eq!(gpus.sample(), [GpuSample::unknown(cards[0].id.clone(), 0), hot]);
    }
}
