//! Interpreters and packages, with the real uv and pip and a small package from the index.
//!
//! All tests share one uv, installed once by whichever needs it first, so that each of them is quick.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod environments;
mod failures;
mod fixture;
mod layers;
mod orders;
mod uv;
