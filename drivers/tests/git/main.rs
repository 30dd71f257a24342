//! Code of tasks, with the real git on real repositories.

mod checkout;
mod credentials;
mod diff;
mod fixture;
