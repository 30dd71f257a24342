//! Containers: the API of Docker Engine, or of Podman's service, which speaks the same; what is inside of them.
//!
//! The init is one static program for every image. It is mounted read-only, connects to a socket that is mounted
//! beside it, and runs what it is told to. Everything that a task is not to show in its container's configuration
//! (variables with secrets, its command) goes over that socket.

mod answer;
mod archive;
mod bake;
mod commands;
mod create;
mod credentials;
mod engine;
mod error;
mod fence;
mod gpus;
mod handover;
mod host_files;
mod link;
mod ownership;
mod profile;
mod program;
mod pull;
mod reclaim;
mod run_folder;
mod warm;

pub use self::archive::Packed;
pub use self::commands::ContainerCommands;
pub use self::create::{NewContainer, OwnMount};
pub use self::engine::{Container, ContainerState, Engine, Image};
pub use self::error::EngineError;
pub use self::fence::{fence, remove_leftovers};
pub use self::gpus::GpuAccess;
pub use self::host_files::{HostFileError, busy_ports, read_host_files};
pub use self::link::{Asked, Descriptors, InitLink, InitSocket, LinkError, Ownership};
pub use self::ownership::{give_private, installs_as, share};
pub use self::program::{InitProgramError, init_program};
pub use self::reclaim::reclaim;
pub use self::run_folder::{RunFolder, forget_run_folder};
pub use self::warm::{Taken, WarmError, WarmShelf, WarmTemplate, warm_mark};

/// A name for texts that is their own.
pub fn digest(texts: impl IntoIterator<Item = String>) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    for text in texts {
        // With its length, so that no two lists of texts are one.
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..16])
}
