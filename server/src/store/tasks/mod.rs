//! Rows of the tasks.
pub(crate) fn all_tags(_connection: &rusqlite::Connection, _column: &str) -> super::StoreResult<Vec<String>> { Ok(Vec::new()) }
