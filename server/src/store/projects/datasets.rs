//! What projects that hold a dataset say of it.

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::StoreResult;

/// Size of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatasetStats {
    pub(crate) files: i64,
    pub(crate) bytes: i64,
}

/// Size of the version of a dataset that changed last, as the SDK notes it; `None` where there is no dataset.
pub(crate) fn dataset_stats(connection: &Connection, project: &str) -> StoreResult<Option<DatasetStats>> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(json_extract(runtime, '$.ds_file_count'), 0),
                coalesce(json_extract(runtime, '$.ds_total_size'), 0)
         FROM tasks t WHERE t.project = ? AND t.type = 'data_processing'
           AND EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'dataset')
           AND NOT EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'archived')
         ORDER BY t.last_update DESC, t.id LIMIT 1",
    )?;
    // Runtime properties are whatever a client sends: what is no number counts nothing.
    let number = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Integer(number) => number,
        rusqlite::types::Value::Real(number) => number as i64,
        rusqlite::types::Value::Text(text) => text.parse().unwrap_or(0),
        rusqlite::types::Value::Blob(_) | rusqlite::types::Value::Null => 0,
    };
    let found = statement
        .query_row([project], |row| Ok(DatasetStats { files: number(row.get(0)?), bytes: number(row.get(1)?) }));
    Ok(found.optional()?)
}
