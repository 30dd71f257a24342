//! What a container is to look like.
//!
//! The arguments of `docker run` are read with one table ([`SWITCHES`]) into a [`ContainerSpec`]. What is not
//! understood is an error that names it: nothing of what a task or an operator asks for is dropped in silence.
//! [`decide`] is the whole way from a task and the operator's [`ContainerSettings`] to the [`Decision`] on its container.

mod argument;
mod check;
mod choose;
mod conceal;
mod conflict;
mod error;
mod facts;
pub mod frame;
pub mod init;
mod limits;
mod name;
mod nearest;
mod package;
mod policy;
mod reference;
mod remap;
mod rules;
mod settings;
mod spec;
mod switch;
mod table;
mod template;
mod told;
mod values;

pub use argument::{Argument, Form, Origin, parse, parse_words};
pub use choose::ImageSource;
pub use conceal::Concealment;
pub use error::{ArgumentError, ValueError};
pub use facts::TaskFacts;
pub use limits::{BlockDevice, Limits, Ulimit};
pub use name::{RANDOM_LETTERS, container_name};
pub use policy::{Decision, HostEnvironment, Removal, RemovalRule, decide};
pub use reference::is_image_name;
pub use remap::{NoPortFree, Remapped};
pub use rules::{Condition, MatchRule, RULE_KEYS};
pub use settings::{
    ContainerScripts, ContainerSettings, DefaultContainer, DefaultSource, InternalMount, InternalMounts, SHIPPED_IMAGE,
};
pub use spec::{ContainerSpec, HealthCheck, Note, PullPolicy};
pub use switch::Switch;
pub use table::SWITCHES;
pub use template::fill_format;
pub use told::HasSecrets;
pub use values::device::Device;
pub use values::gpus::{GpuCount, GpuRequest};
pub use values::mount::{Mount, MountKind, Propagation, Recursion};
pub use values::network::Network;
pub use values::port::{ExposedPort, PortRange, Protocol, PublishedPort};
pub use values::volume::Volume;
