//! The library itself, and which cards it knows.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use nvml_wrapper::{Device, Nvml};
use protocols::gpu::GpuCard;
use protocols::ids::GpuId;

use super::NvmlError;

/// Where the library is looked for, in this order: drivers without development files have the first only.
const SYSTEM_LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The library, loaded.
pub struct NvmlProbe {
    pub(super) nvml: Nvml,
}

/// A card that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCard {
    /// It, whole.
    pub card: GpuCard,
    /// Whether it is in MIG mode: then only its instances can be used.
    pub has_mig_mode: bool,
    /// Its MIG devices, in the order of their indexes. Each has the index of its card.
    pub instances: Vec<GpuCard>,
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

    /// All cards that can be read, in PCI bus order; an error where there are some and none can be. Blocks.
    pub fn inventory(&self) -> Result<Vec<FoundCard>, NvmlError> {
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

    fn card(&self, index: u32) -> Result<FoundCard, nvml_wrapper::error::NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        let has_mig_mode = device.mig_mode().is_ok_and(|mode| mode.current != 0);
        let mut instances = Vec::new();
        for instance in instances_of(&device) {
            instances.push(identity(&instance, index)?);
        }
        Ok(FoundCard { card: identity(&device, index)?, has_mig_mode, instances })
    }
}

/// A card or an instance of it.
pub(super) fn identity(device: &Device<'_>, index: u32) -> Result<GpuCard, nvml_wrapper::error::NvmlError> {
    let (id, name) = (GpuId::from(device.uuid()?), device.name());
    Ok(GpuCard {
        index,
        // What an instance is stands in its name alone: without that it would be taken for a card.
        name: if id.as_str().starts_with("MIG-") { name? } else { name.unwrap_or_default() },
        id,
        memory_bytes: device.memory_info().map_or(0, |memory| memory.total),
    })
}

/// The MIG devices of a card: none where it has no MIG mode.
pub(super) fn instances_of<'nvml>(device: &Device<'nvml>) -> Vec<Device<'nvml>> {
    let most = device.mig_device_count().unwrap_or(0);
    (0..most).filter_map(|index| device.mig_device_by_index(index).ok()).collect()
}

impl fmt::Debug for NvmlProbe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NvmlProbe").finish_non_exhaustive()
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
}
