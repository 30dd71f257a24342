//! A database file without the server around it: to copy it, to check it, to clean it up. A server may be at work on
//! the same file at the same time; nothing here stops its writes for longer than a moment.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::check::{self, Finding};
use super::{OpenError, StoreResult, migrations, open, prune};

/// An open database file.
#[derive(Debug)]
pub(crate) struct Offline {
    connection: Connection,
    path: PathBuf,
}

impl Offline {
    /// Opens a file that is there; it is neither made nor migrated.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open::existing(path)?;
        let this = Self { connection, path: path.to_owned() };
        let (found, known) = (this.version()?, migrations::newest());
        if found > known {
            return Err(OpenError::Newer { path: this.path, found, known });
        }
        Ok(this)
    }

    /// Version of the schema in the file.
    pub(crate) fn version(&self) -> Result<usize, OpenError> {
        migrations::version(&self.connection, &self.path)
    }

    /// Whether a server made the file.
    pub(crate) fn is_of_a_server(&self) -> bool {
        let sql = "SELECT 1 FROM settings WHERE key = 'server.id'";
        let found = self.connection.query_row(sql, [], |_| Ok(())).optional();
        matches!(found, Ok(Some(())))
    }

    /// Writes what the database holds at this moment into the empty file `target`, which is not synced.
    pub(crate) fn copy_to(&self, target: &Path) -> StoreResult<()> {
        self.connection.execute("VACUUM INTO ?", [target.to_string_lossy()])?;
        Ok(())
    }

    /// Damages of the file itself.
    pub(crate) fn damages(&self) -> StoreResult<Vec<Finding>> {
        check::damages(&self.connection)
    }

    /// Everything that can be checked.
    pub(crate) fn check(&self) -> StoreResult<Vec<Finding>> {
        check::run(&self.connection)
    }

    /// Takes what is in the log into the file itself.
    pub(crate) fn finish_log(&self) -> StoreResult<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// For what is removed.
    pub(crate) fn pruning(&mut self) -> prune::Pruning<'_> {
        prune::Pruning::new(&mut self.connection)
    }
}
