//! The vocabulary of Hostler: pure data and pure functions.
//!
//! Invariant P1: nothing here does I/O, reads a clock, or knows an async runtime. Everything that crosses a
//! process boundary (the ClearML API, daemon and executor, command line and daemon) or lands on disk (the
//! journal, an executor's state file) is defined here once.

pub mod clearml;
pub mod container;
pub mod control;
pub mod exit;
pub mod explain;
pub mod failure;
pub mod git;
pub mod gpu;
pub mod ids;
pub mod ipc;
pub mod journal;
pub mod lifecycle;
pub mod order;
pub mod packaging;
pub mod task;
pub mod words;
