//! Hands: one external system per file, each behind the smallest interface that its callers need.

pub mod ipc;
pub mod process;
