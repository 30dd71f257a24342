//! Which fields are read, and how a row becomes an object.

use protocols::clearml::error::ApiError;
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, Row as SqlRow};
use serde_json::{Map, Number, Value};

use super::filter::unknown;
use super::{Entity, Expression, Field, Kind, Row, paths};
use crate::store::StoreResult;
use crate::time;

/// Fields that a request may ask for by name.
const FIELDS: usize = 1000;

/// One selected value.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) path: Vec<String>,
    sql: Expression,
    pub(super) kind: Kind,
    /// The value is the id of another object, shown as `{"id": ..}`.
    pub(super) expanded: bool,
}

impl Column {
    /// What the row at hand has in this column, the `position`th, as it is shown.
    pub(super) fn read(&self, row: &SqlRow<'_>, position: usize) -> StoreResult<Value> {
        let value = decode(self.kind, row.get_ref(position)?)?;
        if self.expanded && !value.is_null() {
            return Ok(Value::Object(Map::from_iter([("id".to_owned(), value)])));
        }
        Ok(value)
    }
}

/// The fields of an answer.
#[derive(Debug)]
pub(super) struct Projection<'a> {
    entity: &'a Entity,
    pub(super) columns: Vec<Column>,
    filled: Vec<Vec<String>>,
    pub(super) excluded: Vec<Vec<String>>,
    expand: bool,
}

impl<'a> Projection<'a> {
    /// What `only_fields` of the body asks for, all fields if it does not.
    pub(super) fn from_body(entity: &'a Entity, body: &Row, expand: bool) -> Result<Self, ApiError> {
        let asked = ["only_fields", "projection"].into_iter().filter_map(|name| body.get(name));
        let only = match asked.into_iter().find(|value| !value.is_null()) {
            Some(Value::String(path)) => vec![path.as_str()],
            Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(ApiError::bad_field("only_fields", "must be a list of texts")),
            None => Vec::new(),
        };
        Self::new(entity, &only, expand)
    }

    pub(super) fn new(entity: &'a Entity, only: &[&str], expand: bool) -> Result<Self, ApiError> {
        if only.len() > FIELDS {
            return Err(ApiError::bad_field("only_fields", &format!("may have {FIELDS} fields at most")));
        }
        let mut projection = Self { entity, columns: Vec::new(), filled: Vec::new(), excluded: Vec::new(), expand };
        let (excluded, included): (Vec<&str>, Vec<&str>) = only.iter().partition(|path| path.starts_with('-'));
        if included.is_empty() {
            projection.add_all();
        } else {
            projection.add("id")?;
            for path in included {
                projection.add(path)?;
            }
        }
        projection.exclude(&excluded)?;
        // An object must be there before what is shown inside it.
        projection.columns.sort_by_key(|column| column.path.len());
        Ok(projection)
    }

    fn add_all(&mut self) {
        for field in self.entity.fields.iter().filter(|field| !field.unasked) {
            self.add_field(field);
        }
    }

    fn add(&mut self, path: &str) -> Result<(), ApiError> {
        let below = format!("{path}.");
        let mut found = false;
        for field in self.entity.fields {
            let shown_inside = field.name.starts_with(&below) && !field.unasked;
            if field.name == path || shown_inside {
                self.add_field(field);
                found = true;
            }
        }
        if found || self.add_member(path) {
            return Ok(());
        }
        let target = paths::resolve(self.entity, path).ok_or_else(|| unknown(self.entity, path))?;
        let mut full: Vec<String> = target.field.name.split('.').map(str::to_owned).collect();
        full.extend(target.below.iter().cloned());
        if target.field.kind == Kind::Filled {
            self.filled.push(full);
            return Ok(());
        }
        let sql = Expression::new(
            format!("{} -> ?", target.field.sql),
            vec![SqlValue::Text(paths::json_path(&target.below))],
        );
        self.push(Column { path: full, sql, kind: Kind::Json, expanded: false });
        Ok(())
    }

    fn add_field(&mut self, field: &Field) {
        let path: Vec<String> = field.name.split('.').map(str::to_owned).collect();
        if field.kind == Kind::Filled {
            self.filled.push(path);
            return;
        }
        let expanded = self.expand && self.entity.references.iter().any(|reference| reference.field == field.name);
        self.push(Column { path, sql: Expression::plain(field.sql), kind: field.kind, expanded });
    }

    /// Adds `user.name`: a member of the object that a field names.
    fn add_member(&mut self, path: &str) -> bool {
        let Some((field, member)) = path.rsplit_once('.') else { return false };
        let reference = self.entity.references.iter().find(|reference| reference.field == field);
        let (Some(reference), Some(of)) = (reference.filter(|_| self.expand), self.entity.field(field)) else {
            return false;
        };
        if member == "id" {
            self.add_field(of);
            return true;
        }
        if !reference.columns.contains(&member) {
            return false;
        }
        self.add_field(of);
        let sql = format!("(SELECT other.{member} FROM {} other WHERE other.id = {})", reference.table, of.sql);
        let path = path.split('.').map(str::to_owned).collect();
        self.push(Column { path, sql: Expression::plain(sql), kind: Kind::Text, expanded: false });
        true
    }

    fn push(&mut self, column: Column) {
        if !self.columns.iter().any(|known| known.path == column.path) {
            self.columns.push(column);
        }
    }

    fn exclude(&mut self, excluded: &[&str]) -> Result<(), ApiError> {
        for path in excluded {
            let path = path.trim_start_matches('-');
            if path == "id" {
                continue;
            }
            let known = paths::resolve(self.entity, path).is_some()
                || self.entity.fields.iter().any(|field| field.name.starts_with(&format!("{path}.")));
            if !known {
                return Err(unknown(self.entity, path));
            }
            let path = paths::split(path);
            self.columns.retain(|column| !column.path.starts_with(&path));
            self.filled.retain(|filled| !filled.starts_with(&path));
            self.excluded.push(path);
        }
        Ok(())
    }

    /// `SELECT .. FROM ..`.
    pub(super) fn select(&self) -> Expression {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.sql.sql.as_str()).collect();
        Expression::plain(format!("SELECT {} FROM {}", columns.join(", "), self.entity.from))
    }

    /// `SELECT .. FROM .. WHERE` the row has a number, the last value to be given.
    pub(super) fn select_by_number(&self) -> Expression {
        Expression::new(format!("{} WHERE {} = ?", self.select().sql, self.entity.row()), self.values())
    }

    /// Values of the selected columns.
    pub(super) fn values(&self) -> Vec<SqlValue> {
        self.columns.iter().flat_map(|column| column.sql.values.iter().cloned()).collect()
    }

    /// Makes the object of one row; adds to `size` how many bytes were read for it.
    pub(super) fn read(&self, row: &SqlRow<'_>, size: &mut usize) -> StoreResult<Row> {
        let mut object = Map::new();
        for (position, column) in self.columns.iter().enumerate() {
            *size += row.get_ref(position)?.as_str_or_null().ok().flatten().map_or(8, str::len);
            insert(&mut object, &column.path, column.read(row, position)?);
        }
        for path in &self.excluded {
            remove(&mut object, path);
        }
        Ok(object)
    }

    /// What is not in the table, of each of these rows; empty when nothing of that is asked for.
    pub(super) fn more(&self, connection: &Connection, numbers: &[i64]) -> StoreResult<Vec<Row>> {
        if self.filled.is_empty() {
            return Ok(Vec::new());
        }
        let Entity { from, .. } = self.entity;
        let sql = format!("SELECT {} FROM {from} WHERE {} = ?", self.entity.id(), self.entity.row());
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = Vec::with_capacity(numbers.len());
        for number in numbers {
            let id: String = statement.query_row([number], |row| row.get(0))?;
            rows.push(Row::from_iter([("id".to_owned(), Value::String(id))]));
        }
        self.finish(connection, &mut rows)?;
        rows.iter_mut().for_each(|row| drop(row.remove("id")));
        Ok(rows)
    }

    /// Adds what is not in the table.
    pub(super) fn finish(&self, connection: &Connection, rows: &mut [Row]) -> StoreResult<()> {
        if let Some(fill) = self.entity.fill
            && !self.filled.is_empty()
        {
            fill(connection, &self.filled, rows)?;
            for path in &self.filled {
                rows.iter_mut().for_each(|row| ensure_parent(row, path));
            }
        }
        Ok(())
    }
}

pub(super) fn decode(kind: Kind, value: ValueRef<'_>) -> StoreResult<Value> {
    Ok(match (kind, value) {
        (_, ValueRef::Null) => Value::Null,
        (Kind::Time, ValueRef::Integer(micros)) => Value::String(time::to_iso(micros)),
        (Kind::Boolean, ValueRef::Integer(flag)) => Value::Bool(flag != 0),
        (_, ValueRef::Integer(integer)) => Value::from(integer),
        (_, ValueRef::Real(real)) => Number::from_f64(real).map_or(Value::Null, Value::Number),
        (Kind::Json | Kind::Texts, ValueRef::Text(text) | ValueRef::Blob(text)) => serde_json::from_slice(text)?,
        (_, ValueRef::Text(text) | ValueRef::Blob(text)) => Value::String(String::from_utf8_lossy(text).into_owned()),
    })
}

pub(super) fn insert(object: &mut Row, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    if value.is_null() {
        ensure_parent(object, path);
        return;
    }
    let mut at = object;
    for parent in parents {
        let next = at.entry(parent.clone()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = next else { return };
        at = next;
    }
    at.insert(last.clone(), value);
}

/// A missing value below an object leaves the empty object, which clients rely on.
fn ensure_parent(object: &mut Row, path: &[String]) {
    if let [top, _, ..] = path {
        object.entry(top.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
}

pub(super) fn remove(object: &mut Row, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = object;
    for parent in parents {
        let Some(Value::Object(next)) = at.get_mut(parent) else { return };
        at = next;
    }
    at.remove(last);
}
