//! Tables for spreadsheets: `organization.prepare_download_for_get_all` and `download_for_get_all`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, Download, Reply};
use crate::ids;
use crate::state::State;
use crate::store::models::MODEL;
use crate::store::query::{self, Entity, Options, Row};
use crate::store::tasks::TASK;

/// Prepared downloads that are remembered; the oldest goes for a new one.
const REMEMBERED: usize = 256;

/// Bytes of a prepared request at most.
const REQUEST_SIZE: usize = 64 << 10;

/// Fields of a request that are not for the engine.
const OWN_FIELDS: &[&str] = &["entity_type", "field_mappings", "only_fields", "page", "page_size", "scroll_id", "size"];

/// Downloads that were prepared.
#[derive(Debug, Default)]
pub(crate) struct Exports(Mutex<VecDeque<(String, Export)>>);

/// What a download will hold.
#[derive(Clone, Debug)]
struct Export {
    entity_type: EntityType,
    filters: Row,
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntityType {
    Task,
    Model,
}

impl EntityType {
    fn entity(self) -> &'static Entity {
        match self {
            Self::Task => &TASK,
            Self::Model => &MODEL,
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Task => "tasks.csv",
            Self::Model => "models.csv",
        }
    }
}

#[derive(Clone, Debug)]
struct Column {
    field: String,
    title: String,
    /// What is written instead of some values.
    values: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Prepare {
    entity_type: EntityType,
    only_fields: Vec<String>,
    field_mappings: Vec<Mapping>,
}

#[derive(Deserialize)]
struct Mapping {
    field: String,
    name: Option<String>,
    #[serde(default)]
    values: Vec<ValueMapping>,
}

#[derive(Deserialize)]
struct ValueMapping {
    key: Value,
    value: Value,
}

impl Exports {
    fn remember(&self, export: Export) -> String {
        let id = ids::new_id();
        let mut prepared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.len() >= REMEMBERED {
            prepared.pop_front();
        }
        prepared.push_back((id.clone(), export));
        id
    }

    fn find(&self, id: &str) -> Option<Export> {
        let prepared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.iter().find(|(known, _)| known == id).map(|(_, export)| export.clone())
    }
}

/// Checks what is to be downloaded and gives it an id, which a browser can then fetch.
pub(super) fn prepare_download_for_get_all(state: &State, call: &Call) -> Reply {
    let request: Prepare = call.arguments()?;
    if let Some(missing) = request.field_mappings.iter().find(|one| !request.only_fields.contains(&one.field)) {
        return Err(ApiError::bad_field("field_mappings", &format!("{:?} is not in only_fields", missing.field)));
    }
    if request.field_mappings.is_empty() {
        return Err(ApiError::bad_field("field_mappings", "at least one is required"));
    }
    let mut filters = call.body.clone();
    filters.retain(|field, _| !OWN_FIELDS.contains(&field.as_str()));
    if Value::Object(filters.clone()).to_string().len() > REQUEST_SIZE {
        return Err(ApiError::fields_value("the filters are too large", &[("limit", &REQUEST_SIZE)]));
    }
    let columns = request.field_mappings.into_iter().map(|mapping| Column {
        title: mapping.name.unwrap_or_else(|| mapping.field.clone()),
        field: mapping.field,
        values: mapping.values.into_iter().map(|one| (cell(&one.key), cell(&one.value))).collect(),
    });
    let export = Export { entity_type: request.entity_type, filters, columns: columns.collect() };
    Ok(json!({"prepare_id": state.exports.remember(export)}))
}

#[derive(Deserialize)]
struct Fetch {
    prepare_id: String,
}

/// A prepared download: a CSV file of all rows, read page by page while it is sent.
pub(crate) async fn download_for_get_all(state: &State, call: &Call) -> Result<Download, ApiError> {
    let Fetch { prepare_id } = call.arguments()?;
    let export = state.exports.find(&prepare_id);
    let export = export.ok_or_else(|| ApiError::invalid_id("", &[("prepare_id", &prepare_id)]))?;
    let file_name = export.entity_type.file_name().to_owned();
    let mut head = String::from("\u{feff}");
    line(&mut head, export.columns.iter().map(|column| column.title.clone()));
    // The first page is read before the answer begins, so that a bad filter is an error and not half a file.
    let (text, next) = page(state, &export, Row::new()).await?;
    head.push_str(&text);
    let begin = (state.clone(), export, next, Some(head));
    let parts = stream::try_unfold(begin, |(state, export, next, head)| async move {
        if let Some(head) = head {
            return Ok(Some((Bytes::from(head), (state, export, next, None))));
        }
        let Some(body) = next else { return Ok::<_, ApiError>(None) };
        let (text, next) = page(&state, &export, body).await?;
        Ok(Some((Bytes::from(text), (state, export, next, None))))
    });
    Ok(Download { content_type: "text/csv; charset=utf-8", file_name, body: Body::from_stream(parts) })
}

/// The lines of one page, and where the next one begins if there is one.
async fn page(state: &State, export: &Export, position: Row) -> Result<(String, Option<Row>), ApiError> {
    const PAGE_SIZE: usize = 500;
    let mut body = export.filters.clone();
    let fields: Vec<Value> = export.columns.iter().map(|column| Value::from(column.field.as_str())).collect();
    body.insert("only_fields".to_owned(), Value::Array(fields));
    body.insert("size".to_owned(), Value::from(PAGE_SIZE));
    body.insert("scroll_id".to_owned(), position.get("scroll_id").cloned().unwrap_or_default());
    let entity = export.entity_type.entity();
    let options = Options { expand: true, ..Options::default() };
    let found = state.store.read(move |connection| query::find(connection, entity, &body, &options)).await?;
    let mut text = String::new();
    for row in &found.rows {
        line(&mut text, export.columns.iter().map(|column| shown(row, column)));
    }
    let more = (found.rows.len() == PAGE_SIZE).then_some(found.scroll_id).flatten();
    Ok((text, more.map(|id| Row::from_iter([("scroll_id".to_owned(), Value::from(id))]))))
}

fn shown(row: &Row, column: &Column) -> String {
    let text = query::value_at(row, &column.field).map(cell).unwrap_or_default();
    column.values.get(&text).cloned().unwrap_or(text)
}

/// A value as people write it in a table.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(object) => match (object.get("id"), object.len()) {
            (Some(id), 1) => cell(id),
            _ => value.to_string(),
        },
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            text.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut text = String::new();
        line(&mut text, ["plain", "a,b", "say \"x\"", "two\nlines", ""].into_iter().map(str::to_owned));
        assert_eq!(text, "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\r\n");
        assert_eq!(cell(&json!(["b", 1, null])), "b, 1, ");
        assert_eq!(cell(&json!({"id": "x"})), "x");
    }
}
