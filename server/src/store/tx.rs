//! The transaction that a writing job works in.

use std::cell::RefCell;
use std::ops::Deref;

use protocols::clearml::error::ApiError;
use rusqlite::Transaction;

use super::error::{StoreError, StoreResult};

use crate::signals::Change;

/// A transaction, plus what to tell waiting callers once it is durable. Derefs to the transaction, so a
/// function that takes `&rusqlite::Transaction` or `&rusqlite::Connection` takes it too.
pub(crate) struct Tx<'connection> {
    transaction: Transaction<'connection>,
    changes: RefCell<Vec<Change>>,
}

impl<'connection> Tx<'connection> {
    pub(super) fn new(transaction: Transaction<'connection>) -> Self {
        Self { transaction, changes: RefCell::default() }
    }

    /// Announces a change: whoever waits for it is woken after the commit.
    pub(crate) fn changed(&self, change: Change) {
        self.changes.borrow_mut().push(change);
    }

    pub(super) fn announced(&self) -> usize {
        self.changes.borrow().len()
    }

    pub(super) fn forget_after(&self, announced: usize) {
        self.changes.borrow_mut().truncate(announced);
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
        let announced = self.announced();
        self.execute_batch("SAVEPOINT item")?;
        match item() {
            Ok(value) => {
                self.execute_batch("RELEASE item")?;
                Ok(Ok(value))
            }
            Err(StoreError::Api(error)) => {
                self.forget_after(announced);
                self.execute_batch("ROLLBACK TO item; RELEASE item")?;
                Ok(Err(error))
            }
            // The database itself failed: the whole batch ends.
            Err(error @ (StoreError::Sql(_) | StoreError::Json(_))) => Err(error),
        }
    }
}
