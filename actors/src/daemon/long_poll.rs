//! Whether the server has the long-poll extension: found out at the first meeting, unlearnt when it says otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drivers::clearml::ClientError;

/// Shared by the pollers. False until the server was met.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongPoll(Arc<AtomicBool>);

impl LongPoll {
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, is_there: bool) {
        self.0.store(is_there, Ordering::Relaxed);
    }

    /// Another server may answer at the same address after a while: one that does not know the endpoint is polled.
    pub(crate) fn learn_from(&self, error: &ClientError) {
        if error.api().is_some_and(|error| error.status == 404) {
            self.set(false);
        }
    }
}
