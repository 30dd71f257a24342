//! Containers, through the Engine API of Docker and Podman, and what is inside them.
//!
//! PID 1 of every container is our init, one static program for every image. It is mounted read-only, connects to a
//! socket that is mounted beside it, and runs what it is told to. Everything that a task is not to show in its
//! container's configuration (variables with secrets, its command) goes over that link.

mod commands;
mod create;
mod link;
mod program;

pub use commands::ContainerCommands;
pub use create::{GpuAccess, NewContainer, OwnMount};
pub use link::{Asked, Descriptors, InitLink, InitSocket, LinkError, Ownership};
pub use program::{InitProgramError, init_program};
