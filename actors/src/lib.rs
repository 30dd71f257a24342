//! The owners of Hostler: actix actors, one per file, each with its messages at the top of that file.
//!
//! `daemon` and `executor` never import each other: they meet on the unix socket alone. A child actor never names
//! its parent's type; it holds a `Recipient`, or a [`kit::Port`], of the facts that it tells.

pub mod daemon;
pub mod executor;
pub mod kit;
