//! What a container is to look like.
//!
//! The arguments of `docker run` are read with one table ([`SWITCHES`]) into a [`ContainerSpec`]. What is not
//! understood is an error that names it: nothing of what a task or an operator asks for is dropped in silence.

mod argument;
mod conflict;
mod error;
mod limits;
mod nearest;
mod spec;
mod switch;
mod table;
mod values;

pub use argument::{Argument, Form, Origin, parse, parse_words};
pub use error::{ArgumentError, ValueError};
pub use limits::{BlockDevice, Limits, Ulimit};
pub use spec::{ContainerSpec, HealthCheck, Note, PullPolicy};
pub use switch::Switch;
pub use table::SWITCHES;
pub use values::device::Device;
pub use values::gpus::{GpuCount, GpuRequest};
pub use values::mount::{Mount, MountKind, Propagation, Recursion};
pub use values::network::Network;
pub use values::port::{ExposedPort, PortRange, Protocol, PublishedPort};
pub use values::volume::Volume;
