//! The unix socket between daemon and executors: length-delimited frames of named MessagePack.
//!
//! What is said is defined in [`protocols::ipc`]; here is only how it travels. Nobody but this user and root gets
//! in: the folder is closed to others, and the caller's uid is checked.

mod frames;
mod socket;

pub use frames::{FrameReader, FrameWriter};
pub use socket::{IpcError, accept, bind, dial};
