//! The writer: one thread that owns the only writable connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use protocols::clearml::error::ApiError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::error::{StoreError, StoreResult};
use super::pulse::Pulse;
use super::tx::Tx;
use crate::signals::{Change, Signals};

/// Jobs that may wait for the writer; callers beyond that wait to hand theirs in.
const WAITING_JOBS: usize = 1024;

/// Jobs that share one commit at most, so that the first of them does not wait for ever.
const JOBS_PER_COMMIT: usize = 256;

/// Tells a job's caller how it ended; called with the error of the commit if that failed.
type Answer = Box<dyn FnOnce(Result<(), ApiError>) + Send>;

/// A job inside the transaction: does its work, and says how to answer. Without a transaction it is told why.
type Job = Box<dyn FnOnce(Result<Place<'_>, ApiError>) -> Answer + Send>;

/// Where a job runs.
#[derive(Clone, Copy)]
struct Place<'a> {
    tx: &'a Tx<'a>,
    /// Whether the transaction is this job's alone: then its failure takes back the transaction, and no savepoint is
    /// needed, which would copy every page that the job changes.
    alone: bool,
}

/// Handle on the writer thread.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, signals: Signals, pulse: Arc<Pulse>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_JOBS);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(connection, receiver, &signals, &pulse))
            .expect("a thread can be started");
        Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) }
    }

    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> StoreResult<T> + Send + 'static,
    {
        let closed = || ApiError::database_unavailable("the server is stopping", &[]);
        let sender = self.jobs.lock().ok().and_then(|jobs| jobs.clone()).ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |place| {
            let outcome = place.and_then(|place| run_in(place, job));
            Box::new(move |committed| {
                // The job's own error says more than that of the commit. A caller that went away does not need
                // the answer.
                let _ = answer.send(outcome.and_then(|value| committed.map(|()| value)));
            })
        });
        sender.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    pub(super) async fn close(&self) {
        drop(self.jobs.lock().ok().and_then(|mut jobs| jobs.take()));
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread
            && tokio::task::spawn_blocking(move || thread.join()).await.is_err()
        {
            tracing::error!("the writer of the store ended with a panic");
        }
    }
}

fn serve(mut connection: Connection, mut jobs: mpsc::Receiver<Job>, signals: &Signals, pulse: &Pulse) {
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < JOBS_PER_COMMIT
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        while !batch.is_empty() {
            batch = commit_batch(&mut connection, batch, signals, pulse);
        }
    }
    // Leaves one file behind instead of a file and its log.
    if let Err(error) = connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the last checkpoint of the database failed; the next start does it");
    }
}

/// Runs the jobs and commits them together. Returns those that were not run, because SQLite took the transaction
/// back in the middle of the batch, as it does on a full disk.
fn commit_batch(connection: &mut Connection, batch: Vec<Job>, signals: &Signals, pulse: &Pulse) -> Vec<Job> {
    pulse.begin();
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            tracing::error!(%error, waiting = batch.len(), "no transaction could be started: the jobs are refused");
            pulse.end(batch.len(), Some(error.to_string()));
            let refused = ApiError::from(StoreError::from(error));
            for job in batch {
                job(Err(refused.clone()))(Err(refused.clone()));
            }
            return Vec::new();
        }
    };
    let tx = Tx::new(transaction);
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
    let alone = batch.len() == 1;
    let mut jobs = batch.into_iter();
    for job in jobs.by_ref() {
        answers.push(job(Ok(Place { tx: &tx, alone })));
        if tx.is_autocommit() {
            // What ran so far is undone; what comes next would run outside of any transaction.
            break;
        }
    }
    let (committed, changes) = finish(tx);
    pulse.end(answers.len(), committed.as_ref().err().map(|error| error.message.clone()));
    if committed.is_ok() {
        // Woken waiters must find the new state, so this comes after the commit. It also must not depend on
        // the caller: one that went away has changed the store all the same.
        raise(signals, changes);
    }
    for answer in answers {
        answer(committed.clone());
    }
    jobs.collect()
}

/// Ends the transaction. What its jobs announced is told only if there is something to be seen.
fn finish(tx: Tx<'_>) -> (Result<(), ApiError>, Vec<Change>) {
    let refused = |error: StoreError| ApiError::from(error);
    if tx.is_autocommit() {
        return (Err(ApiError::database_unavailable("a write at the same moment failed", &[])), Vec::new());
    }
    if tx.is_given_up() {
        let (transaction, _) = tx.into_parts();
        return (transaction.rollback().map_err(|error| refused(error.into())), Vec::new());
    }
    let settled = tx.settle();
    let (transaction, changes) = tx.into_parts();
    let committed = settled.and_then(|()| Ok(transaction.commit()?));
    (committed.map_err(refused), changes)
}

fn raise(signals: &Signals, mut changes: Vec<Change>) {
    changes.sort();
    changes.dedup();
    for change in &changes {
        signals.raise(change);
    }
}

/// Runs one job so that its failure, or its panic, leaves no trace in the transaction.
fn run_in<T, F>(Place { tx, alone }: Place<'_>, job: F) -> Result<T, ApiError>
where
    F: FnOnce(&Tx<'_>) -> StoreResult<T>,
{
    let mark = tx.mark();
    let refused = |error: rusqlite::Error| ApiError::from(StoreError::from(error));
    // Prepared once: this runs for every write.
    let run = |sql| if alone { Ok(0) } else { tx.prepare_cached(sql)?.execute([]) };
    run("SAVEPOINT job").map_err(refused)?;
    let outcome = catch_unwind(AssertUnwindSafe(|| job(tx)));
    let failure = match outcome {
        Ok(Ok(value)) => {
            run("RELEASE job").map_err(refused)?;
            return Ok(value);
        }
        Ok(Err(error)) => error.into(),
        Err(_) => ApiError::internal("the operation failed unexpectedly", &[]),
    };
    tx.forget_after(mark);
    if alone {
        tx.give_up();
    } else {
        // Fails only when SQLite has rolled back the whole transaction itself (disk full), which is noticed
        // after the job.
        let _ = tx.execute_batch("ROLLBACK TO job; RELEASE job");
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;
    use crate::store::open;

    #[tokio::test]
    async fn writes_that_wait_share_one_commit() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = open::writable(&directory.path().join("test.db")).unwrap();
        connection.execute_batch("CREATE TABLE numbers (number INTEGER)").unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&commits);
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.commit_hook(Some(count)).unwrap();
        let writer = Writer::start(connection, Signals::default(), Arc::default());

        let put = |tx: &Tx<'_>, number: i64| {
            tx.execute("INSERT INTO numbers (number) VALUES (?)", [number])?;
            Ok(())
        };
        let (release, held) = std::sync::mpsc::channel();
        let first = writer.run(move |tx| {
            held.recv().expect("the test goes on");
            put(tx, 0)
        });
        let mut writes = vec![first.boxed()];
        writes.extend((1..=64).map(|number| writer.run(move |tx| put(tx, number)).boxed()));
        for write in &mut writes {
            assert!(futures::poll!(write).is_pending(), "the first holds the writer");
        }
        release.send(()).unwrap();
        futures::future::try_join_all(writes).await.unwrap();
        let shared = commits.load(Ordering::Relaxed);
        assert!(shared <= 2, "65 writes took {shared} commits, and each waits for the disk");
    }
}
