//! Hands: one external system per file, each behind the smallest interface that its callers need.

pub mod clearml;
pub mod clock;
pub mod command;
pub mod container;
mod file_lock;
pub mod git;
pub mod host;
pub mod ipc;
pub mod journal;
pub mod mps;
pub mod nvml;
pub mod pipe;
pub mod process;
pub mod python;
mod scrub;
