//! The description of what a service stores.

use rusqlite::Connection;

use super::{Expression, Row};
use crate::store::StoreResult;

/// From the full path of a value to the SQL that computes it; `None` for paths that lead nowhere.
pub(crate) type Computed = fn(&[String]) -> Option<Expression>;

/// Adds fields to rows: those whose paths are given.
pub(crate) type Fill = fn(&Connection, &[Vec<String>], &mut [Row]) -> StoreResult<()>;

/// Rows of one kind of object.
#[derive(Debug)]
pub(crate) struct Entity {
    /// What it is called in error messages.
    pub(crate) name: &'static str,
    /// What follows `FROM`: a table with an alias. A table joined with `LEFT JOIN` on its unique key costs nothing
    /// when no field of it is used.
    pub(crate) from: &'static str,
    /// Every field of the API, dotted where it is shown inside another.
    pub(crate) fields: &'static [Field],
    /// Fields that name another object.
    pub(crate) references: &'static [Reference],
    /// Condition of rows that are hidden unless `search_hidden`, `id` or one of `reveals` is in the request.
    pub(crate) hidden: Option<&'static str>,
    /// Fields which, when filtered by, show hidden rows too.
    pub(crate) reveals: &'static [&'static str],
    /// Values below a [`Kind::Filled`] field, for filters and order: from the full path to SQL.
    pub(crate) computed: Option<Computed>,
    /// Adds the [`Kind::Filled`] fields that are asked for to rows that have their `id`. The second argument
    /// holds the paths asked for that begin with such a field; no more than those need be read.
    pub(crate) fill: Option<Fill>,
}

impl Entity {
    /// Nothing; for `..Entity::EMPTY`.
    pub(crate) const EMPTY: Self = Self {
        name: "",
        from: "",
        fields: &[],
        references: &[],
        hidden: None,
        reveals: &["id"],
        computed: None,
        fill: None,
    };

    /// SQL of the id.
    pub(crate) fn id(&self) -> &'static str {
        self.fields.iter().find(|field| field.name == "id").expect("every entity has an id").sql
    }

    /// SQL of the row's number: rows that were made earlier have lower ones.
    pub(super) fn row(&self) -> String {
        format!("{}rowid", self.id().strip_suffix("id").unwrap_or_default())
    }

    /// The field of exactly this name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A field that names another object, for the `_ex` forms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    /// The field.
    pub(crate) field: &'static str,
    /// Table of the other object.
    pub(crate) table: &'static str,
    /// Columns of it that may be asked for as `field.column`; a text each.
    pub(crate) columns: &'static [&'static str],
}

/// What a column holds, and so how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// 0 or 1.
    Boolean,
    /// Microseconds since the epoch, shown as ISO 8601.
    Time,
    /// The text of a JSON array of texts.
    Texts,
    /// The text of a JSON object or array; paths below it work too.
    Json,
    /// Not in this table: added by [`Entity::fill`].
    Filled,
}

/// One field of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name, dotted where it is shown inside another field.
    pub(crate) name: &'static str,
    /// SQL that reads it.
    pub(crate) sql: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// May be searched with a regular expression.
    pub(super) pattern: bool,
    /// May be filtered by a value or a list with operators.
    pub(super) list: bool,
    /// May be filtered by `[min, max]`.
    pub(super) range: bool,
    /// May be filtered by `">=2020-01-01"`, a list of such, or `[from, to]`.
    pub(super) datetime: bool,
    /// May be compared with one value.
    pub(super) equal: bool,
    /// Is never NULL nor empty, so that an index can give the order.
    pub(super) required: bool,
    /// Is shown only when asked for by name.
    pub(super) unasked: bool,
}

impl Field {
    const fn new(name: &'static str, sql: &'static str, kind: Kind) -> Self {
        Self {
            name,
            sql,
            kind,
            pattern: false,
            list: false,
            range: false,
            datetime: false,
            equal: false,
            required: false,
            unasked: false,
        }
    }

    /// A [`Kind::Text`].
    pub(crate) const fn text(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, sql, Kind::Text)
    }

    /// A [`Kind::Integer`].
    pub(crate) const fn integer(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, sql, Kind::Integer)
    }

    /// A [`Kind::Boolean`].
    pub(crate) const fn boolean(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, sql, Kind::Boolean)
    }

    /// A [`Kind::Time`].
    pub(crate) const fn time(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, sql, Kind::Time)
    }

    /// A [`Kind::Texts`].
    pub(crate) const fn texts(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, sql, Kind::Texts)
    }

    /// A [`Kind::Json`].
    pub(crate) const fn json(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, sql, Kind::Json)
    }

    /// A [`Kind::Filled`].
    pub(crate) const fn filled(name: &'static str) -> Self {
        Self::new(name, "NULL", Kind::Filled)
    }

    /// Lets the field be searched with a regular expression.
    pub(crate) const fn pattern(mut self) -> Self {
        self.pattern = true;
        self
    }

    /// Lets the field be filtered by a value or a list with operators.
    pub(crate) const fn list(mut self) -> Self {
        self.list = true;
        self
    }

    /// Lets the field be filtered by `[min, max]`.
    pub(crate) const fn range(mut self) -> Self {
        self.range = true;
        self
    }

    /// Lets the field be filtered by comparisons with a time.
    pub(crate) const fn datetime(mut self) -> Self {
        self.datetime = true;
        self
    }

    /// Lets the field be compared with one value.
    pub(crate) const fn equal(mut self) -> Self {
        self.equal = true;
        self
    }

    /// Says that the field is never NULL nor empty.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Shows the field only when it is asked for by name.
    pub(crate) const fn unasked(mut self) -> Self {
        self.unasked = true;
        self
    }
}
