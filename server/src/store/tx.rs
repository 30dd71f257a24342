//! The transaction that a writing job works in.

use std::cell::{Cell, RefCell};
use std::ops::Deref;

use protocols::clearml::error::ApiError;
use rusqlite::Transaction;

use super::error::{StoreError, StoreResult};
use super::shared::Shared;
use crate::signals::Change;

/// A transaction, plus what to tell waiting callers once it is durable, plus what its jobs have in common. Derefs to
/// the transaction, so a function that takes `&rusqlite::Transaction` or `&rusqlite::Connection` takes it too.
pub(crate) struct Tx<'connection> {
    transaction: Transaction<'connection>,
    changes: RefCell<Vec<Change>>,
    shared: RefCell<Vec<Shared>>,
    given_up: Cell<bool>,
}

/// How much a transaction has noted, so that a job that fails can take back what it noted itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    changes: usize,
    shared: usize,
}

impl<'connection> Tx<'connection> {
    pub(super) fn new(transaction: Transaction<'connection>) -> Self {
        Self { transaction, changes: RefCell::default(), shared: RefCell::default(), given_up: Cell::new(false) }
    }

    /// Announces a change: whoever waits for it is woken after the commit.
    pub(crate) fn changed(&self, change: Change) {
        self.changes.borrow_mut().push(change);
    }

    /// Writes something before the commit, together with what other jobs say about the same row. The rest of this
    /// transaction does not see it.
    pub(super) fn at_commit(&self, shared: Shared) {
        self.shared.borrow_mut().push(shared);
    }

    /// Writes what the jobs have in common: the last step of a transaction.
    pub(super) fn settle(&self) -> StoreResult<()> {
        super::shared::write(self, self.shared.take())
    }

    /// Takes back the whole transaction at its end.
    pub(super) fn give_up(&self) {
        self.given_up.set(true);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { changes: self.changes.borrow().len(), shared: self.shared.borrow().len() }
    }

    pub(super) fn forget_after(&self, mark: Mark) {
        self.changes.borrow_mut().truncate(mark.changes);
        self.shared.borrow_mut().truncate(mark.shared);
    }

    pub(super) fn into_parts(self) -> (Transaction<'connection>, Vec<Change>) {
        (self.transaction, self.changes.into_inner())
    }
}

impl<'connection> Deref for Tx<'connection> {
    type Target = Transaction<'connection>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl Tx<'_> {
    /// Runs one item of a batch: its failure takes back what it did, and nothing else.
    ///
    /// # Errors
    /// The outer error is of the database itself; the inner result is the item's own.
    pub(crate) fn attempt<T>(&self, item: impl FnOnce() -> StoreResult<T>) -> StoreResult<Result<T, ApiError>> {
        let mark = self.mark();
        self.execute_batch("SAVEPOINT item")?;
        match item() {
            Ok(value) => {
                self.execute_batch("RELEASE item")?;
                Ok(Ok(value))
            }
            Err(StoreError::Api(error)) => {
                self.forget_after(mark);
                self.execute_batch("ROLLBACK TO item; RELEASE item")?;
                Ok(Err(error))
            }
            // The database itself failed: the whole batch ends.
            Err(error @ (StoreError::Sql(_) | StoreError::Json(_))) => Err(error),
        }
    }
}
