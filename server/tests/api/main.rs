//! The server as its clients see it: real HTTP on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod concurrency;
mod doors;
mod endpoints;
mod filters;
mod harness;
mod http;
mod lifecycle;
mod long_poll;
mod organization;
mod params;
mod pipelines;
mod queue_metrics;
mod queues;
mod report_texts;
mod start;
mod status;
mod users;
mod watchdog;
mod worker_properties;
mod worker_statistics;
mod workers;
