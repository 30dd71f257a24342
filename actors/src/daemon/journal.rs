//! The owner of the journal: every durable fact goes through here, in order.

use actix::prelude::*;
use drivers::clock::Clock;
use drivers::journal::{Journal as Store, JournalError};
use protocols::ids::TaskId;
use protocols::journal::{JournalEntry, JournalRecord};
use std::sync::Arc;

use crate::kit::Lifeline;

/// Appends a record. Answered when it is durable, with its sequence number. `Err` ends the daemon: without a
/// journal there is no progress.
#[derive(Message, Debug)]
#[rtype(result = "Result<u64, JournalError>")]
pub(crate) struct Append {
    pub(crate) task: TaskId,
    pub(crate) record: JournalRecord,
}

/// Reads everything back, for recovery.
#[derive(Message, Debug)]
#[rtype(result = "Result<Vec<JournalEntry>, JournalError>")]
pub(crate) struct LoadJournal;

/// Forgets a run that is settled: everything of its task up to and including the entry `until`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetSettled {
    pub(crate) task: TaskId,
    pub(crate) until: u64,
}

pub(crate) struct Journal {
    store: Store,
    clock: Arc<dyn Clock>,
    _lifeline: Lifeline<super::child::Child>,
}

impl Journal {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, lifeline: Lifeline<super::child::Child>) -> Self {
        Self { store, clock, _lifeline: lifeline }
    }
}

impl Actor for Journal {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
    }
}

impl Handler<Append> for Journal {
    type Result = ResponseActFuture<Self, Result<u64, JournalError>>;

    fn handle(&mut self, message: Append, _: &mut Self::Context) -> Self::Result {
        // Enqueued here, in mailbox order; only the waiting for the fsync is concurrent.
        let durable = self.store.append(message.task, message.record, self.clock.now_ms());
        Box::pin(durable.into_actor(self).map(|result, _, ctx| {
            if let Err(error) = &result {
                tracing::error!(error = error as &dyn std::error::Error, "cannot append to the journal");
                ctx.stop();
            }
            result
        }))
    }
}

impl Handler<LoadJournal> for Journal {
    type Result = ResponseFuture<Result<Vec<JournalEntry>, JournalError>>;

    fn handle(&mut self, _: LoadJournal, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || store.load()).await.expect("loading the journal does not panic")
        })
    }
}

impl Handler<ForgetSettled> for Journal {
    type Result = ();

    fn handle(&mut self, message: ForgetSettled, ctx: &mut Self::Context) {
        let forgotten = self.store.forget_settled(&[message.task], message.until);
        ctx.spawn(forgotten.into_actor(self).map(|result, _, _| {
            if let Err(error) = result {
                tracing::warn!(%error, "cannot shorten the journal");
            }
        }));
    }
}
