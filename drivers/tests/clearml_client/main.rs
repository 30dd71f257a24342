//! The ClearML client against a small real HTTP server that answers what a test tells it to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod methods;
mod stand_in;
