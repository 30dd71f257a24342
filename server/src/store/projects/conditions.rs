//! Conditions on projects that services add to a `get_all`.

use serde_json::Value;

use crate::store::query::Expression;

/// The project has this system tag, as the folders of pipelines, datasets and reports do.
pub(crate) fn is_tagged(tag: &str) -> Expression {
    let sql = "EXISTS (SELECT 1 FROM json_each(p.system_tags) WHERE value = ?)";
    Expression::new(sql, vec![tag.to_owned().into()])
}

/// The project, or one somewhere below it, has this system tag.
pub(crate) fn holds_tagged(tag: &str) -> Expression {
    let sql = "EXISTS (SELECT 1 FROM projects below, json_each(below.system_tags) tag WHERE tag.value = ? \
               AND (below.name = p.name OR below.name >= p.name || '/' AND below.name < p.name || '0'))";
    Expression::new(sql, vec![tag.to_owned().into()])
}

/// The project has no parent.
pub(crate) fn is_at_root() -> Expression {
    Expression::plain("p.parent IS NULL")
}

/// One of these is an ancestor of the project.
pub(crate) fn is_below(projects: Vec<Value>) -> Expression {
    let sql = "EXISTS (SELECT 1 FROM json_each(p.path) above WHERE above.value IN (SELECT value FROM json_each(?)))";
    Expression::new(sql, vec![Value::Array(projects).to_string().into()])
}

/// One of these users made a task in the project.
pub(crate) fn is_used_by(users: &[String]) -> Expression {
    let sql = "EXISTS (SELECT 1 FROM tasks t WHERE t.project = p.id AND t.user IN (SELECT value FROM json_each(?)))";
    Expression::new(sql, vec![Value::from(users).to_string().into()])
}
