//! What goes wrong.

use std::sync::Arc;

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
