//! The large documents of a task.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::unknown_task;
use crate::store::StoreResult;

/// One of the documents that are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// What to run.
    Script,
    /// How to run it, and the artifacts.
    Execution,
    /// Section to name to parameter.
    Hyperparams,
    /// Name to configuration object.
    Configuration,
    /// Image and its arguments.
    Container,
    /// Input and output models.
    Models,
    /// Where results go, and the error.
    Output,
}

impl Document {
    /// Its column, which is its name in the API too.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Execution => "execution",
            Self::Hyperparams => "hyperparams",
            Self::Configuration => "configuration",
            Self::Container => "container",
            Self::Models => "models",
            Self::Output => "output",
        }
    }
}

/// A document of a task.
pub(crate) fn read_document(connection: &Connection, task: &str, document: Document) -> StoreResult<Value> {
    let sql = format!("SELECT {} FROM task_documents WHERE id = ?", document.column());
    let text: Option<String> = connection.prepare_cached(&sql)?.query_row([task], |row| row.get(0)).optional()?;
    let text = text.ok_or_else(|| unknown_task(task))?;
    Ok(serde_json::from_str(&text)?)
}

/// Replaces a document of a task.
pub(crate) fn write_document(connection: &Connection, task: &str, document: Document, text: &str) -> StoreResult<()> {
    let sql = format!("UPDATE task_documents SET {} = ? WHERE id = ?", document.column());
    connection.prepare_cached(&sql)?.execute(params![text, task])?;
    Ok(())
}
