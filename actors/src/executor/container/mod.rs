//! A task in a container of its own: what its image has, where its packages are built, where it runs.
//!
//! The code is checked out on this machine and mounted, as are the environments of the store, under the same paths.
//! Nothing of ours is installed into the container: its first process is our init, mounted, which is asked over a
//! socket to start the programs of the task.

mod bake;
mod facts;
mod gpus;
mod inside;
mod look;
mod mounts;
mod running;
mod scripts;
mod site;
mod ssh;
mod warm;

pub use bake::{ImageEntry, ImageWish};
pub(super) use inside::Inside;
pub(super) use running::Running;
