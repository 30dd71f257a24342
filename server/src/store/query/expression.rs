//! A piece of SQL with its values.

use rusqlite::types::Value;

/// Conditions that are joined in one row.
const FLAT: usize = 16;

/// SQL with `?` for each of its values, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expression {
    /// The SQL.
    pub(crate) sql: String,
    /// One value for each `?`.
    pub(crate) values: Vec<Value>,
}

impl Expression {
    /// SQL and its values.
    pub(crate) fn new(sql: impl Into<String>, values: Vec<Value>) -> Self {
        Self { sql: sql.into(), values }
    }

    /// SQL without values.
    pub(crate) fn plain(sql: impl Into<String>) -> Self {
        Self::new(sql, Vec::new())
    }

    /// Whether there is no SQL: the condition that everything meets.
    pub(crate) fn is_empty(&self) -> bool {
        self.sql.is_empty()
    }

    /// Narrows this condition.
    pub(crate) fn and(&mut self, other: Self) {
        *self = Self::join(vec![std::mem::take(self), other], "AND");
    }

    /// The opposite condition; NULL counts as false.
    pub(crate) fn negate(self) -> Self {
        Self::new(format!("NOT coalesce({}, FALSE)", self.sql), self.values)
    }

    /// All of them (`AND`) or any of them (`OR`); empty ones are left out.
    pub(crate) fn join(parts: Vec<Self>, operator: &str) -> Self {
        let mut parts: Vec<Self> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        // In halves, so that the tree is as low as it can be: SQLite refuses high ones.
        while parts.len() > FLAT {
            let right = parts.split_off(parts.len() / 2);
            parts = vec![Self::join(parts, operator), Self::join(right, operator)];
        }
        if parts.len() < 2 {
            return parts.pop().unwrap_or_default();
        }
        let sql = parts.iter().map(|part| format!("({})", part.sql)).collect::<Vec<_>>().join(&format!(" {operator} "));
        Self::new(sql, parts.into_iter().flat_map(|part| part.values).collect())
    }
}
