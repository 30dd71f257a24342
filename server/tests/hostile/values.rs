//! Values: what belongs into a field, what has the wrong type, and what nobody would write without bad intent.

use serde_json::{Map, Value, json};

use crate::chance::Rng;

/// Ids that exist, or did a moment ago.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) tasks: Vec<String>,
    pub(crate) queues: Vec<String>,
    pub(crate) projects: Vec<String>,
    pub(crate) models: Vec<String>,
}

/// Patterns that are wrong, slow somewhere, or enormous when they are compiled.
const PATTERNS: &[&str] = &[
    "(",
    "[",
    "*",
    "a{2,1}",
    "(?=x)",
    "^(?!x)",
    "^(?=.*a)(?!.*b)",
    "(?<!x)y",
    r"(a)\1",
    "(a+)+$",
    "(a|a)*$",
    "(.*)*x",
    "((a{100}){100}){100}",
    "(x+x+)+y",
    "[ab]*a[ab]{500}",
    r"\p{L}{1000}",
    r"(?i)[\w\W]{300}",
    r"\",
    "^$",
    "^a$",
    "",
    r"\b\B\Z\A",
    "(?P<a>.)(?P<a>.)",
    "{}{",
    "[[:alpha:]&&[^a]]",
    "[z-a]",
    "\u{0}",
    "(?x) # comment",
    "(((((((((((((((((((((((((((((((((",
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "a\u{0}b",
    "é",
    "\u{202e}gnp",
    "😀",
    "'; DROP TABLE tasks; --",
    "\" OR 1=1",
    "%",
    "%%",
    "%2E",
    "..",
    "../../etc/passwd",
    "__$not",
    "__$all",
    "__$or",
    "__$nop",
    "-",
    "--",
    "-id",
    "$",
    "$.a",
    ".",
    "a.b.c.d.e.f",
    "a..b",
    ".a",
    "hyperparams",
    "hyperparams.Args.\"",
    "last_metrics.a.b.value",
    "execution.queue.name",
    "{{",
    "null",
    "NaN",
    "1e999",
    "-0",
    "0x10",
    ">=",
    ">=2020",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-01",
    "2020-13-45",
    "scroll-4294967295",
    "scroll--1",
    "application/json",
    "@text_score",
];

/// A value that has no business in a request.
pub(crate) fn hostile(rng: &mut Rng) -> Value {
    match rng.below(24) {
        0 => Value::Null,
        1 => json!(rng.chance(50)),
        2 => json!(rng.pick(&[0, -1, 1, i64::MIN, i64::MAX, i64::from(i32::MIN), 501, 4096])),
        3 => json!(u64::MAX),
        4 => json!(rng.pick(&[0.5, -0.0, 1e308, -1e308, 5e-324, 1e18, -9.3e18])),
        5 => json!("x".repeat(size(rng, 100, 5000))),
        6 => json!(String::from_utf8_lossy(&rng.bytes(200))),
        7..=9 => json!(rng.pick(TEXTS)),
        10 | 11 => json!(rng.pick(PATTERNS)),
        12 => deep(size(rng, 10, 130), |inner| json!([inner])),
        13 => deep(size(rng, 10, 130), |inner| json!({"a": inner})),
        14 => json!([]),
        15 => json!({}),
        16 => json!([null, null]),
        17 => Value::Array((0..size(rng, 6, 40)).map(|_| json!(rng.pick(TEXTS))).collect()),
        18 => json!((0..size(rng, 10, 3000)).collect::<Vec<_>>()),
        19 => json!({"a.b": 1, "\"": 2, "$.x": {"": null}, "__proto__": [], "%": {"%2E": 1}}),
        20 => json!(vec!["a"; if rng.chance(1) { 40_000 } else { 20 }]),
        21 => json!({rng.pick(TEXTS).to_string(): rng.pick(TEXTS)}),
        22 => json!([[], {}, [[]], "", 0, 1.5, null, true]),
        _ => json!("a".repeat(if rng.chance(1) { 1 << 20 } else { 33 })),
    }
}

/// Mostly small: what is large takes most of the time, and shows the same every time.
pub(crate) fn size(rng: &mut Rng, small: usize, large: usize) -> usize {
    let end = if rng.chance(4) { large } else { small };
    rng.below(end)
}

fn deep(depth: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(Value::Null, |inner, _| wrap(inner))
}

/// A value for the field: mostly one that fits.
pub(crate) fn for_field(rng: &mut Rng, field: &str, known: &Known) -> Value {
    if rng.chance(30) { hostile(rng) } else { fitting(rng, field, known) }
}

fn some_id(rng: &mut Rng, ids: &[String]) -> String {
    if ids.is_empty() || rng.chance(10) {
        return rng.pick(&["ghost", "00000000000000000000000000000000", ""]).to_string();
    }
    rng.pick(ids).clone()
}

/// Ids of a kind that the field may hold.
fn ids_of<'a>(field: &str, known: &'a Known, rng: &mut Rng) -> &'a [String] {
    match field {
        "queue" | "queue_ids" | "queues" => &known.queues,
        "project" | "projects" | "new_task_project" | "destination_project" => &known.projects,
        "model" | "models" | "override_model_id" => &known.models,
        "id" | "ids" | "parent" => match rng.below(4) {
            0 => &known.queues,
            1 => &known.projects,
            2 => &known.models,
            _ => &known.tasks,
        },
        _ => &known.tasks,
    }
}

fn fitting(rng: &mut Rng, field: &str, known: &Known) -> Value {
    match field {
        "task"
        | "queue"
        | "project"
        | "model"
        | "parent"
        | "new_task_project"
        | "destination_project"
        | "override_model_id"
        | "new_task_parent" => {
            let ids = ids_of(field, known, &mut rng.clone());
            json!(some_id(rng, ids))
        }
        "ids" | "tasks" | "queues" | "projects" | "queue_ids" | "id" => {
            let ids = ids_of(field, known, &mut rng.clone());
            Value::Array((0..rng.below(4)).map(|_| json!(some_id(rng, ids))).collect())
        }
        "name" | "new_task_name" | "project_name" | "new_project_name" | "queue_name" | "new_location" => {
            json!(format!("name {}", rng.below(50)))
        }
        "type" => json!(rng.pick(&["training", "controller", "log", "plot", "training_stats_scalar", "input"])),
        "status" | "new_status" => json!(rng.pick(&["created", "queued", "in_progress", "stopped", "published"])),
        "uri" | "url" => json!("http://127.0.0.1:8081/x/model.bin"),
        "only_fields" => fields(rng),
        "order_by" => {
            json!([rng.pick(&["-last_update", "name", "created", "-id", "hyperparams.a.b", "last_metrics.a.b.c"])])
        }
        "page" | "page_size" | "size" | "count" | "iters" | "samples" | "batch_size" | "max_task_entries"
        | "iteration" | "iter" | "timeout" | "interval" => json!(rng.below(100)),
        "timestamp" => json!(1_700_000_000_000_u64 + rng.below(1_000_000) as u64),
        "from_date" => json!(1_700_000_000 + rng.below(1000)),
        "to_date" => json!(1_700_001_000 + rng.below(1000)),
        "hyperparams" => json!([{"section": "Args", "name": "lr", "value": "1"}]),
        "configuration" => json!([{"name": "c", "value": "v"}]),
        "artifacts" => json!([{"key": "k", "type": "t", "uri": "u"}]),
        "models" => json!([{"name": "m", "type": "input"}]),
        "metadata" => json!([{"key": "k", "type": "t", "value": "v"}]),
        "keys" | "names" | "tags" | "add_tags" | "remove_tags" | "system_tags" => json!(["a", "b"]),
        "metrics" => json!([{"task": some_id(rng, &known.tasks), "metric": "loss", "variants": ["a"]}]),
        "metric" => {
            if rng.chance(50) {
                json!("loss")
            } else {
                json!({"metric": "loss", "variants": ["a"]})
            }
        }
        "variant" | "key" | "section" => json!(rng.pick(&["a", "iter", "timestamp", "Args", "iso_time"])),
        "items" => json!([{"key": "cpu_usage", "aggregation": "avg"}]),
        "worker" => json!(format!("worker:{}", rng.below(20))),
        "machine_stats" => json!({"cpu_usage": [1.5, 2.5], "memory_used": 3}),
        "value" => json!(rng.below(1000) as f64 / 7.0),
        "execution" | "script" | "container" | "runtime" | "output" | "add_or_update" => json!({"a": "b"}),
        "requirements" => json!({"pip": "a==1"}),
        "_all_" | "_any_" => json!({"fields": ["name", "comment"], "pattern": rng.pick(PATTERNS)}),
        "filters" => json!({"tags": {"any": {"include": ["a"], "exclude": [null]}, "op": "or"}}),
        "entity_type" => json!("task"),
        "field_mappings" => json!([{"field": "name", "name": "Name"}]),
        "access_key" | "email" | "company" | "label" | "comment" | "msg" | "report" | "line_format" => json!("text"),
        "last_update" | "status_changed" | "last_change" => json!([">=2020-01-01", "<2030-01-01"]),
        "created" | "started" => json!(["2020-01-01T00:00:00", null]),
        // Most of what is left are flags.
        _ => json!(rng.chance(50)),
    }
}

fn fields(rng: &mut Rng) -> Value {
    let names =
        ["id", "name", "status", "-script", "user.name", "last_metrics", "execution.queue", "hyperparams.a%2Eb"];
    Value::Array((0..rng.below(5)).map(|_| json!(rng.pick(&names))).collect())
}

/// A filter of `get_all`: some fields of some entity with what may stand there.
pub(crate) fn filter(rng: &mut Rng, known: &Known) -> Map<String, Value> {
    const FIELDS: &[&str] = &[
        "id",
        "name",
        "user",
        "project",
        "parent",
        "type",
        "status",
        "tags",
        "system_tags",
        "comment",
        "created",
        "started",
        "last_update",
        "status_changed",
        "last_iteration",
        "active_duration",
        "hyperparams.Args.lr.value",
        "runtime.a",
        "last_metrics.a.b.value",
        "execution.queue",
        "models.input.model",
        "metadata.k.value",
        "uri",
        "ready",
        "path",
        "_any_",
        "_all_",
        "_or_",
        "_and_",
        "filters",
        "search_text",
        "only_fields",
        "projection",
        "order_by",
        "page",
        "page_size",
        "scroll_id",
        "size",
        "refresh_scroll",
        "search_hidden",
        "include_subprojects",
        "shallow_search",
    ];
    let mut filter = Map::new();
    let many = if rng.below(500) == 0 { 3000 } else { rng.below(6) };
    for position in 0..many {
        let mut field = rng.pick(FIELDS).to_string();
        if many > 100 {
            field = format!("hyperparams.Args.p{position}.value");
        }
        let value = match rng.below(5) {
            0 => hostile(rng),
            1 => json!(rng.pick(PATTERNS)),
            2 => operators(rng),
            3 => json!({"fields": [rng.pick(FIELDS), rng.pick(FIELDS)], "pattern": rng.pick(PATTERNS)}),
            _ => fitting(rng, &field, known),
        };
        filter.insert(field, value);
    }
    filter
}

fn operators(rng: &mut Rng) -> Value {
    let words = ["__$all", "__$and", "__$or", "__$any", "__$not", "__$nop", "a", "-b", "-", "", "c"];
    let length = if rng.below(200) == 0 { 2000 } else { rng.below(8) };
    Value::Array((0..length).map(|_| if rng.chance(10) { Value::Null } else { json!(rng.pick(&words)) }).collect())
}
