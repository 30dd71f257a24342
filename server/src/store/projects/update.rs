//! Changes of one row, collected and then written at once.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use crate::store::StoreResult;
use crate::store::query::Row;
use crate::time::{self, Micros};

/// New values of the columns of a project or model. Collects what the answer shows under `fields` as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowUpdate {
    columns: Vec<(&'static str, SqlValue)>,
    fields: Row,
}

impl RowUpdate {
    /// Whether nothing is to be changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Sets a text, if there is one.
    pub(crate) fn text(&mut self, column: &'static str, text: Option<impl Into<String>>) -> &mut Self {
        if let Some(text) = text {
            let text = text.into();
            self.set(column, Value::String(text.clone()), SqlValue::Text(text));
        }
        self
    }

    /// Sets a time.
    pub(crate) fn time(&mut self, column: &'static str, micros: Micros) -> &mut Self {
        self.set(column, Value::String(time::to_iso(micros)), SqlValue::Integer(micros))
    }

    /// Sets a truth value, if there is one.
    pub(crate) fn flag(&mut self, column: &'static str, flag: Option<bool>) -> &mut Self {
        if let Some(flag) = flag {
            self.set(column, Value::Bool(flag), SqlValue::Integer(i64::from(flag)));
        }
        self
    }

    /// Sets a sorted list of texts, if there is one.
    pub(crate) fn texts(&mut self, column: &'static str, texts: Option<Vec<String>>) -> &mut Self {
        if let Some(texts) = texts {
            let value = sorted(texts);
            let text = SqlValue::Text(value.to_string());
            self.set(column, value, text);
        }
        self
    }

    /// Sets a JSON document, if there is one.
    pub(crate) fn json(&mut self, column: &'static str, json: Option<Value>) -> &mut Self {
        if let Some(json) = json {
            let text = SqlValue::Text(json.to_string());
            self.set(column, json, text);
        }
        self
    }

    fn set(&mut self, column: &'static str, shown: Value, stored: SqlValue) -> &mut Self {
        self.fields.insert(column.to_owned(), shown);
        self.columns.retain(|(known, _)| *known != column);
        self.columns.push((column, stored));
        self
    }

    /// Writes the changes to the row of `table` with this id; returns what the answer shows under `fields`.
    pub(crate) fn apply(self, connection: &Connection, table: &'static str, id: &str) -> StoreResult<Row> {
        if !self.columns.is_empty() {
            let sets: Vec<String> = self.columns.iter().map(|(column, _)| format!("{column} = ?")).collect();
            let sql = format!("UPDATE {table} SET {} WHERE id = ?", sets.join(", "));
            let values = self.columns.into_iter().map(|(_, value)| value).chain([SqlValue::Text(id.to_owned())]);
            connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        }
        Ok(self.fields)
    }
}

/// A JSON array of the texts, sorted and each once.
pub(crate) fn sorted(mut texts: Vec<String>) -> Value {
    texts.sort();
    texts.dedup();
    Value::from(texts)
}
