//! Rows as JSON text, straight from their columns.
//!
//! A list of whole tasks is mostly documents that are JSON already: to read them into values and to write those again
//! costs many times what the database does. Here they are copied. What comes out is the JSON of what
//! [`Projection::read`] and [`Projection::finish`] make.

use std::collections::BTreeMap;

use rusqlite::Row as SqlRow;
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};

use super::project::{Column, Projection, decode, insert, remove};
use super::{Kind, Row};
use crate::store::StoreResult;
use crate::time;

/// How one member of the objects is made.
#[derive(Debug)]
enum Member {
    /// From one column.
    Single(usize),
    /// From several, or from one that is shown inside it.
    Joined(Vec<usize>),
}

/// How the objects are made: their members in order.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    projection: &'a Projection<'a>,
    members: BTreeMap<&'a str, Member>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(projection: &'a Projection<'a>) -> Self {
        let mut positions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (position, column) in projection.columns.iter().enumerate() {
            positions.entry(column.path[0].as_str()).or_default().push(position);
        }
        let member = |(name, positions): (&'a str, Vec<usize>)| {
            let is_cut = projection.excluded.iter().any(|path| path[0] == name);
            if let [position] = positions[..]
                && is_whole(&projection.columns[position])
                && !is_cut
            {
                return (name, Member::Single(position));
            }
            (name, Member::Joined(positions))
        };
        Self { projection, members: positions.into_iter().map(member).collect() }
    }

    /// Appends the object of one row, with the members of `more` behind its own.
    pub(super) fn write(&self, row: &SqlRow<'_>, more: &Row, text: &mut Vec<u8>) -> StoreResult<()> {
        text.push(b'{');
        let start = text.len();
        for (name, member) in &self.members {
            match member {
                Member::Single(position) => {
                    let column = &self.projection.columns[*position];
                    let value = row.get_ref(*position)?;
                    if value != ValueRef::Null {
                        key(name, start, text)?;
                        single(column.kind, value, text)?;
                    }
                }
                Member::Joined(positions) => {
                    if let Some(value) = self.joined(name, positions, row)? {
                        key(name, start, text)?;
                        serde_json::to_writer(&mut *text, &value)?;
                    }
                }
            }
        }
        for (name, value) in more {
            key(name, start, text)?;
            serde_json::to_writer(&mut *text, value)?;
        }
        text.push(b'}');
        Ok(())
    }

    fn joined(&self, name: &str, positions: &[usize], row: &SqlRow<'_>) -> StoreResult<Option<Value>> {
        let mut object = Map::new();
        for position in positions {
            let column = &self.projection.columns[*position];
            insert(&mut object, &column.path, column.read(row, *position)?);
        }
        for path in &self.projection.excluded {
            remove(&mut object, path);
        }
        Ok(object.remove(name))
    }
}

fn is_whole(column: &Column) -> bool {
    column.path.len() == 1 && !column.expanded
}

fn key(name: &str, start: usize, text: &mut Vec<u8>) -> StoreResult<()> {
    if text.len() > start {
        text.push(b',');
    }
    serde_json::to_writer(&mut *text, name)?;
    text.push(b':');
    Ok(())
}

fn single(kind: Kind, value: ValueRef<'_>, text: &mut Vec<u8>) -> StoreResult<()> {
    match (kind, value) {
        // What the store has is valid JSON: nothing else is ever written there.
        (Kind::Json | Kind::Texts, ValueRef::Text(json) | ValueRef::Blob(json)) => text.extend_from_slice(json),
        (Kind::Time, ValueRef::Integer(micros)) => serde_json::to_writer(text, &time::to_iso(micros))?,
        (Kind::Text, ValueRef::Text(plain)) => serde_json::to_writer(text, &String::from_utf8_lossy(plain))?,
        (kind, value) => serde_json::to_writer(text, &decode(kind, value)?)?,
    }
    Ok(())
}
