//! Tests of the real binary: real sockets, real Python with the real SDK, real git, real kills.
//!
//! Every test has a place, a server and a daemon of its own on free ports; every test with a daemon ends by auditing
//! its journal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "measured times, and the logs of a failed test")]
#![expect(clippy::needless_pass_by_value, reason = "bodies of calls are written in place")]

mod abort;
mod bad_input;
mod build;
mod build_image;
mod cli;
mod containers;
mod crash;
mod crash_matrix;
mod end_to_end;
mod environments;
mod execute;
mod explain_container;
mod gpu_health;
mod gpu_plots;
mod gpus;
mod harness;
mod maintenance;
mod mps;
mod output;
mod pipelines;
mod prefetch;
mod real_cards;
mod scheduling;
mod sdk;
mod server_users;
mod services;
mod shared_environments;
mod stock_agent;
mod strangers;
mod tls;
mod up;
mod workers;
