//! Code of tasks, with the real git on real repositories.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod checkout;
mod credentials;
mod diff;
mod fixture;
