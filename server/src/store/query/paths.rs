//! Dotted paths of the API, and the fields that they mean.

use rusqlite::types::Value;

use super::{Entity, Expression, Field, Kind};

/// Where a path leads.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The field, or the one that holds the path.
    pub(super) field: &'static Field,
    /// What is below the field.
    pub(super) below: Vec<String>,
}

/// Splits a path at its dots and unescapes the parts.
pub(super) fn split(path: &str) -> Vec<String> {
    path.split('.').map(unescape_key).collect()
}

/// Clients escape keys that hold a dot, a dollar sign or `__`.
pub(crate) fn unescape_key(part: &str) -> String {
    if !part.contains('%') {
        return part.to_owned();
    }
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let escapes = [("%%", "%"), ("%2E", "."), ("%2e", "."), ("%24", "$"), ("%_%_", "__"), ("%_", "_")];
        let (escape, meaning) = escapes.into_iter().find(|(escape, _)| rest.starts_with(escape)).unwrap_or(("%", "%"));
        text.push_str(meaning);
        rest = &rest[escape.len()..];
    }
    text.push_str(rest);
    text
}

/// The field that holds `path`: itself, or an object above it.
pub(super) fn resolve(entity: &Entity, path: &str) -> Option<Target> {
    if let Some(field) = entity.field(path) {
        return Some(Target { field, below: Vec::new() });
    }
    let mut at = path.len();
    while let Some(dot) = path[..at].rfind('.') {
        if let Some(field) = entity.field(&path[..dot]) {
            let holds = matches!(field.kind, Kind::Json | Kind::Filled);
            return holds.then(|| Target { field, below: split(&path[dot + 1..]) });
        }
        at = dot;
    }
    None
}

impl Target {
    /// SQL of the value, for filters and order; `None` when it cannot be computed.
    pub(super) fn value(&self, entity: &Entity) -> Option<Expression> {
        if self.field.kind == Kind::Filled {
            let mut path = vec![self.field.name.to_owned()];
            path.extend(self.below.iter().cloned());
            return (entity.computed?)(&path);
        }
        if self.below.is_empty() {
            return Some(Expression::plain(self.field.sql));
        }
        let sql = format!("json_extract({}, ?)", self.field.sql);
        Some(Expression::new(sql, vec![Value::Text(json_path(&self.below))]))
    }
}

/// The path in SQLite's own notation.
pub(super) fn json_path(parts: &[String]) -> String {
    let mut path = "$".to_owned();
    for part in parts {
        // SQLite reads a quoted label up to the next quote and knows no escape for it; a label that holds one
        // cannot be asked for, and finds nothing.
        path.push_str(&format!(".\"{}\"", part.replace('"', "\u{fffd}")));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unescaped_as_clients_escape_them() {
        for (escaped, key) in
            [("a%2Eb", "a.b"), ("%24x", "$x"), ("100%%", "100%"), ("a%_%_b", "a__b"), ("plain", "plain"), ("a%", "a%")]
        {
            assert_eq!(unescape_key(escaped), key);
        }
    }

    #[test]
    fn json_paths_quote_their_labels() {
        assert_eq!(json_path(&["Args".to_owned(), "a.b".to_owned()]), r#"$."Args"."a.b""#);
    }
}
