//! Containers, through the Engine API of Docker and Podman.

mod create;

pub use create::{GpuAccess, NewContainer, OwnMount};
