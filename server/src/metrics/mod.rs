//! What the server counts about itself, and how Prometheus is told.
//!
//! The page is written by hand: the format is a few lines of text, and the number of series is bounded by the
//! endpoints that exist and by a limit on queues.

mod histogram;
mod page;
mod requests;
mod text;

pub(crate) use histogram::Histogram;
pub(crate) use page::{CONTENT_TYPE, page};
pub(crate) use requests::Requests;
