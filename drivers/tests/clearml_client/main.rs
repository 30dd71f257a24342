//! The ClearML client against a small real HTTP server that answers what a test tells it to.

mod calls;
mod methods;
mod stand_in;
