//! What every service works with.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::Authority;
use crate::config::EventLimits;
use crate::signals::Signals;
use crate::store::Store;

/// Shared by all calls; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct State(Arc<Shared>);

/// The parts of [`State`].
#[derive(Debug)]
pub(crate) struct Shared {
    /// The database.
    pub(crate) store: Store,
    /// Wakes long-polls.
    pub(crate) signals: Signals,
    /// Checks credentials, makes tokens.
    pub(crate) authority: Authority,
    /// Root of the uploaded files; exists.
    pub(crate) files_dir: PathBuf,
    /// Where clients find the API, for the page on the web port.
    pub(crate) api_url: String,
    /// Where clients find the files.
    pub(crate) files_url: String,
    /// How much a task may keep of what it reports.
    pub(crate) event_limits: EventLimits,
    /// Bytes of one uploaded file at most.
    pub(crate) max_upload: Option<u64>,
    /// Unique to this installation.
    pub(crate) server_id: String,
}

impl State {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
