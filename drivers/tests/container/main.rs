//! The init of containers, run as containers run it: as PID 1 of namespaces of its own, or beside others, with the
//! real link to it. Images and engines are the process tests' matter.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where something unexpected happens"
)]

mod commands;
mod ending;
mod files;
mod images;
mod inside;
mod programs;
mod removal;
