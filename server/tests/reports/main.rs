//! Events, projects, models and files through real HTTP, as clients speak it.
#![expect(clippy::unwrap_used, reason = "what is missing fails the test")]

mod broken;
mod client;
mod disk;
mod events;
mod files;
mod large;
mod limits;
mod models;
mod projects;
mod samples;
