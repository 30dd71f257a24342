//! Hands: one external system per file, each behind the smallest interface that its callers need.

pub mod clearml;
pub mod clock;
pub mod ipc;
pub mod journal;
pub mod process;
