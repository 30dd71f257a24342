//! Changes of one task, collected and then written at once.

use rusqlite::types::Value as SqlValue;
use serde_json::Value;

use super::Document;
use crate::signals::Change;
use crate::store::query::Row;
use crate::store::{StoreResult, Tx};
use crate::time::{self, Micros};

/// New values of a task's fields. Collects what the answer shows under `fields` as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskUpdate {
    columns: Vec<(&'static str, SqlValue)>,
    documents: Vec<(Document, String)>,
    fields: Row,
    /// The change counts as progress of the task, so that it is seen as alive.
    is_progress: bool,
}

impl TaskUpdate {
    /// Whether nothing is to be changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.documents.is_empty()
    }

    /// How many values are to be changed.
    pub(crate) fn len(&self) -> usize {
        self.columns.len() + self.documents.len()
    }

    /// Renews `last_update` as well.
    pub(crate) fn progress(&mut self) -> &mut Self {
        self.is_progress = true;
        self
    }

    /// Sets a text.
    pub(crate) fn text(&mut self, column: &'static str, text: impl Into<String>) -> &mut Self {
        let text = text.into();
        self.set(column, Value::String(text.clone()), SqlValue::Text(text))
    }

    /// Sets a time.
    pub(crate) fn time(&mut self, column: &'static str, micros: Micros) -> &mut Self {
        self.set(column, Value::String(time::to_iso(micros)), SqlValue::Integer(micros))
    }

    /// Sets a number.
    pub(crate) fn integer(&mut self, column: &'static str, number: i64) -> &mut Self {
        self.set(column, Value::from(number), SqlValue::Integer(number))
    }

    /// Sets a sorted list of texts.
    pub(crate) fn texts(&mut self, column: &'static str, mut texts: Vec<String>) -> &mut Self {
        texts.sort();
        texts.dedup();
        let value = Value::from(texts);
        let text = SqlValue::Text(value.to_string());
        self.set(column, value, text)
    }

    /// Sets an object that is in the table itself.
    pub(crate) fn object(&mut self, column: &'static str, object: Value) -> &mut Self {
        let text = SqlValue::Text(object.to_string());
        self.set(column, object, text)
    }

    /// Takes a value away.
    pub(crate) fn unset(&mut self, column: &'static str) -> &mut Self {
        self.set(column, Value::Null, SqlValue::Null)
    }

    /// Sets a large document; the answer shows it.
    pub(crate) fn document(&mut self, document: Document, value: &Value) -> &mut Self {
        self.fields.insert(document.column().to_owned(), value.clone());
        self.quiet_document(document, value)
    }

    /// Sets a large document; the answer does not show it.
    pub(crate) fn quiet_document(&mut self, document: Document, value: &Value) -> &mut Self {
        self.documents.retain(|(known, _)| *known != document);
        self.documents.push((document, value.to_string()));
        self
    }

    fn set(&mut self, column: &'static str, shown: Value, stored: SqlValue) -> &mut Self {
        // The one column whose name in the API is another.
        let name = if column == "queue" { "execution.queue" } else { column };
        self.fields.insert(name.to_owned(), shown);
        self.columns.retain(|(known, _)| *known != column);
        self.columns.push((column, stored));
        self
    }

    /// Writes the changes, renews the stamps, announces a change of status; returns what the answer shows under
    /// `fields`.
    pub(crate) fn apply(mut self, tx: &Tx<'_>, task: &str, user: &str) -> StoreResult<Row> {
        let now = time::now();
        if self.is_progress {
            self.time("last_update", now);
        }
        self.time("last_change", now).text("last_changed_by", user);
        if self.columns.iter().any(|(column, _)| matches!(*column, "status" | "status_message")) {
            tx.changed(Change::Task(task.to_owned()));
        }
        let sets: Vec<String> = self.columns.iter().map(|(column, _)| format!("{column} = ?")).collect();
        let sql = format!("UPDATE tasks SET {} WHERE id = ?", sets.join(", "));
        let values = self.columns.into_iter().map(|(_, value)| value);
        let values = values.chain([SqlValue::Text(task.to_owned())]);
        tx.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
        for (document, text) in self.documents {
            super::write_document(tx, task, document, &text)?;
        }
        Ok(self.fields)
    }
}
