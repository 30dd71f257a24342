//! Whom a poll loop asks, and the lease that it holds until a task has it.

use std::sync::Arc;

use actix::prelude::*;
use drivers::clearml::TaskServer;
use drivers::clock::Clock;
use protocols::gpu::Lease;

use super::one::NothingToRun;
use crate::daemon::gpu::partitioner::{ReleaseLease, ReserveFirst, ReserveLease, RestoreLease};
use crate::daemon::journal::{Append, LoadJournal};
use crate::daemon::long_poll::LongPoll;
use crate::daemon::settings::DaemonSettings;
use crate::daemon::task_manager::{FindRunner, StartRun};
use crate::kit::tell;

/// Whom the poller asks, down the ranks.
#[derive(Clone)]
pub(crate) struct PollerTools {
    pub(crate) settings: Arc<DaemonSettings>,
    pub(crate) server: Arc<dyn TaskServer>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether the server has the long-poll extension.
    pub(crate) long_poll: LongPoll,
    pub(crate) journal: Recipient<Append>,
    pub(crate) load_journal: Recipient<LoadJournal>,
    pub(crate) reserve: Recipient<ReserveLease>,
    pub(crate) reserve_first: Recipient<ReserveFirst>,
    pub(crate) restore: Recipient<RestoreLease>,
    pub(crate) release: Recipient<ReleaseLease>,
    pub(crate) start: Recipient<StartRun>,
    pub(crate) find: Recipient<FindRunner>,
    /// Who wants to know that the one task is not to be had.
    pub(crate) nothing: Recipient<NothingToRun>,
}

/// A lease that nobody works under yet. Dropped, it is given back.
pub(super) struct Reservation {
    lease: Option<Lease>,
    release: Recipient<ReleaseLease>,
}

impl Reservation {
    pub(super) fn new(lease: Lease, release: Recipient<ReleaseLease>) -> Self {
        Self { lease: Some(lease), release }
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Takes the lease out: from here on the task's runner owns it.
    pub(super) fn claim(mut self) -> Option<Lease> {
        self.lease.take()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            tell(&self.release, ReleaseLease { lease: lease.id });
        }
    }
}
