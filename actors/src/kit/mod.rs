//! What every actor tree needs: being told when a child ends, how often to rebuild it, how long to wait, where to block.

mod backoff;
mod blocking;
mod lifeline;
mod port;
mod restart;

pub use backoff::Backoff;
pub(crate) use blocking::blocking;
pub use lifeline::{ChildExited, Lifeline, tell};
pub use port::{Disconnected, Port};
pub use restart::{RestartDecision, RestartHistory, RestartPolicy};
