//! Whether a database is whole, and says the same wherever it says a thing twice.

use rusqlite::Connection;

use super::{StoreResult, events};

/// Findings of one kind that are shown; the others are only counted.
const EXAMPLES: usize = 5;

/// Lines that SQLite tells at most about a damaged file.
const DAMAGES: usize = 20;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at, a stable name.
    pub(crate) check: String,
    /// What is wrong.
    pub(crate) what: String,
    /// How often.
    pub(crate) count: usize,
    /// A few of the places.
    pub(crate) examples: Vec<String>,
}

/// What must never be: a query that answers the places where it is, each as one text.
struct Rule {
    check: &'static str,
    what: &'static str,
    sql: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        check: "queue_positions",
        what: "two entries of a queue have one position",
        sql: "SELECT 'queue ' || queue || ', position ' || position FROM queue_entries
              GROUP BY queue, position HAVING count(*) > 1",
    },
    Rule {
        check: "task_documents",
        what: "a task is without its documents",
        sql: "SELECT id FROM tasks WHERE id NOT IN (SELECT id FROM task_documents)",
    },
    Rule {
        check: "project_of_task",
        what: "a task is in a project that does not exist",
        sql: "SELECT id FROM tasks WHERE project IS NOT NULL AND project NOT IN (SELECT id FROM projects)",
    },
    Rule {
        check: "project_of_model",
        what: "a model is in a project that does not exist",
        sql: "SELECT id FROM models WHERE project IS NOT NULL AND project NOT IN (SELECT id FROM projects)",
    },
    Rule {
        check: "project_tree",
        what: "name or ancestors of a project do not fit its parent",
        sql: "SELECT c.id FROM projects c LEFT JOIN projects p ON p.id = c.parent
              WHERE (c.parent IS NULL AND (c.path != '[]' OR c.name != c.basename))
                 OR (c.parent IS NOT NULL AND (p.id IS NULL OR c.name != p.name || '/' || c.basename
                     OR CASE WHEN json_valid(c.path) AND json_valid(p.path)
                             THEN json(c.path) != json_insert(p.path, '$[#]', p.id) END))",
    },
    Rule {
        check: "log_counters",
        what: "counted console lines or bytes are not those that are stored",
        sql: "SELECT o.owner || ': ' || o.log_lines || ' lines of ' || o.log_bytes || ' bytes are counted, '
                     || coalesce(c.lines, 0) || ' of ' || coalesce(c.bytes, 0) || ' are stored'
              FROM event_owners o LEFT JOIN (
                  SELECT owner, count(*) AS lines, sum(octet_length(message)) AS bytes FROM console_lines GROUP BY owner
              ) c ON c.owner = o.key
              WHERE o.owner IS NOT NULL
                AND (o.log_lines != coalesce(c.lines, 0) OR o.log_bytes != coalesce(c.bytes, 0))",
    },
    Rule {
        check: "series_counters",
        what: "counted events of a series are not those that are stored",
        sql: "SELECT owner || ', ' || metric || '/' || variant || ': ' || events || ' are counted, ' || stored
                     || ' are stored'
              FROM (SELECT o.owner, s.metric, s.variant, s.events, s.reports, CASE s.kind
                        WHEN 1 THEN (SELECT count(*) FROM scalar_points p WHERE p.series = s.key)
                        WHEN 3 THEN (SELECT count(*) FROM image_events p WHERE p.series = s.key)
                        ELSE (SELECT count(*) FROM payload_events p WHERE p.series = s.key) END AS stored
                    FROM event_series s JOIN event_owners o ON o.key = s.owner AND o.owner IS NOT NULL)
              WHERE events != stored OR reports < events",
    },
    Rule {
        check: "series_summary",
        what: "a point is outside of the range that its series says it has",
        // -2147483648 is the iteration of a single value, which is no point of the curve.
        sql: "SELECT o.owner || ', ' || s.metric || '/' || s.variant
              FROM event_series s JOIN event_owners o ON o.key = s.owner AND o.owner IS NOT NULL
              WHERE s.kind = 1 AND EXISTS (SELECT 1 FROM scalar_points p WHERE p.series = s.key AND (
                  coalesce(p.value NOT BETWEEN s.min_value AND s.max_value, 1)
                  OR (p.iter != -2147483648 AND coalesce(p.iter NOT BETWEEN s.min_iter AND s.max_iter, 1))
                  OR p.timestamp > s.last_timestamp))",
    },
    Rule {
        check: "series_bytes",
        what: "counted bytes of a series are not those that are stored",
        sql: "SELECT owner || ', ' || metric || '/' || variant || ': ' || bytes || ' are counted, ' || stored
                     || ' are stored'
              FROM (SELECT o.owner, s.metric, s.variant, s.bytes, CASE s.kind
                        WHEN 3 THEN (SELECT coalesce(sum(octet_length(url)), 0) FROM image_events p
                                     WHERE p.series = s.key)
                        ELSE (SELECT coalesce(sum(octet_length(payload)), 0) FROM payload_events p
                              WHERE p.series = s.key) END AS stored
                    FROM event_series s JOIN event_owners o ON o.key = s.owner AND o.owner IS NOT NULL
                    WHERE s.kind != 1)
              WHERE bytes != stored",
    },
    Rule {
        check: "orphan_events",
        what: "events belong to nothing",
        sql: "SELECT DISTINCT 'console lines of owner ' || owner FROM console_lines
                  WHERE owner NOT IN (SELECT key FROM event_owners)
              UNION ALL SELECT 'series ' || key FROM event_series WHERE owner NOT IN (SELECT key FROM event_owners)
              UNION ALL SELECT DISTINCT 'points of series ' || series FROM scalar_points
                  WHERE series NOT IN (SELECT key FROM event_series)
              UNION ALL SELECT DISTINCT 'packs of series ' || series FROM scalar_packs
                  WHERE series NOT IN (SELECT key FROM event_series)
              UNION ALL SELECT DISTINCT 'plots of series ' || series FROM payload_events
                  WHERE series NOT IN (SELECT key FROM event_series)
              UNION ALL SELECT DISTINCT 'images of series ' || series FROM image_events
                  WHERE series NOT IN (SELECT key FROM event_series)",
    },
    Rule {
        check: "event_owners",
        what: "there are events of a task or model that does not exist",
        sql: "SELECT owner FROM event_owners WHERE owner IS NOT NULL
              AND ((is_model AND owner NOT IN (SELECT id FROM models))
                   OR (NOT is_model AND owner NOT IN (SELECT id FROM tasks)))",
    },
];

/// Runs every check on one snapshot; an empty answer is a whole database of the newest schema.
pub(super) fn run(connection: &Connection) -> StoreResult<Vec<Finding>> {
    let snapshot = connection.unchecked_transaction()?;
    let mut findings = damages(&snapshot)?;
    if !findings.is_empty() {
        // Whatever a damaged file says further is not worth much.
        return Ok(findings);
    }
    findings.extend(dangling_references(&snapshot)?);
    for rule in RULES {
        findings.extend(places(&snapshot, rule.check, rule.what, rule.sql)?);
    }
    let what = "a pack of points is not made of the points of its curve";
    findings.extend(finding("packs", what, events::pack_differences(&snapshot)?));
    findings.extend(damaged_documents(&snapshot)?);
    Ok(findings)
}

/// What SQLite finds in the file itself: pages, indexes, types, uniqueness.
pub(super) fn damages(connection: &Connection) -> StoreResult<Vec<Finding>> {
    let sql = format!("PRAGMA integrity_check({DAMAGES})");
    let mut statement = connection.prepare(&sql)?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if lines == ["ok"] {
        return Ok(Vec::new());
    }
    Ok(finding("integrity", "the file is damaged", lines).into_iter().collect())
}

fn dangling_references(connection: &Connection) -> StoreResult<Option<Finding>> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let places = statement.query_map([], |row| {
        let (table, row_number, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("row {} of {table} refers to {parent}", row_number.unwrap_or_default()))
    })?;
    Ok(finding("references", "a row refers to another that does not exist", places.collect::<Result<_, _>>()?))
}

fn places(connection: &Connection, check: &str, what: &str, sql: &str) -> StoreResult<Option<Finding>> {
    let mut statement = connection.prepare(sql)?;
    let places = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(finding(check, what, places))
}

/// Every column that is a JSON list or object when nothing is said is one at all times.
fn damaged_documents(connection: &Connection) -> StoreResult<Vec<Finding>> {
    let mut statement = connection.prepare(
        "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND (c.dflt_value LIKE '''{%' OR c.dflt_value LIKE '''[%')",
    )?;
    let columns: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut findings = Vec::new();
    for (table, column) in columns {
        let sql = format!(
            "SELECT '{table}.{column}: ' || substr({column}, 1, 60) FROM {table} WHERE NOT json_valid({column})"
        );
        findings.extend(places(connection, "documents", "a document is no JSON", &sql)?);
    }
    Ok(findings)
}

fn finding(check: &str, what: &str, mut examples: Vec<String>) -> Option<Finding> {
    let count = examples.len();
    examples.truncate(EXAMPLES);
    (count > 0).then(|| Finding { check: check.to_owned(), what: what.to_owned(), count, examples })
}
