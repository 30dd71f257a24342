//! NVIDIA's management library: which cards there are, how they are, and how they are connected.
//!
//! The library is loaded at run time, so that one binary serves machines with and without GPUs. Calls block for
//! milliseconds, more on a sick card: not for an actor's thread. Its stand-in is `tests/fake-nvml`, a library with the
//! same functions.

mod connection;
mod error;
mod events;
mod gpm;
mod library;
mod mig;
mod mig_raw;
mod mig_record;
mod raw;
mod report;
mod sample;
mod watch;

pub use error::NvmlError;
pub use events::{CardEvent, CardEventKind};
pub use library::{FoundCard, NvmlProbe};
pub use mig::{MigCard, MigError, MigInstance};
pub use mig_raw::CallError;
pub use mig_record::{MigRecord, RecordError};
pub use raw::RemappedRows;
pub use report::{CardReport, GpuProcess, InstanceReport, MachineReport, SampleReport};
pub use sample::GpuSample;
pub use watch::{CardLook, CardState, CardTrouble, InstanceLook, Watch};
