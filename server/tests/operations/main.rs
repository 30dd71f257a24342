//! Running a server: killing it, stopping it, a disk that gets full, health, metrics, backups, checks, cleaning up.
#![expect(clippy::unwrap_used, reason = "what is missing fails the test")]
#![expect(clippy::print_stderr, reason = "the seed, how much was done, and why a test did nothing")]

#[path = "../chance/mod.rs"]
mod chance;
mod client;
mod disk;
mod durability;
mod fixture;
mod health;
mod maintenance;
mod process;
mod prune;
mod stop;
