//! Plots and debug images, by iteration.

use std::collections::BTreeMap;

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::curves::insert;
use super::request::{MetricVariants, check_count, filter, known_owner, size};
use super::scroll;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, Kind, MetricFilter, SeriesRow, Shown};

/// Iterations in one request at most.
const MAX_ITERATIONS: i64 = 10_000;

/// Scroll id of a list that is given whole: what follows it is empty.
const END_OF_PLOTS: &str = "end";

#[derive(Debug, Deserialize)]
struct TaskPlots {
    task: Option<String>,
    #[serde(default)]
    tasks: Vec<String>,
    iters: Option<i64>,
    metrics: Option<Vec<MetricVariants>>,
    scroll_id: Option<String>,
    #[serde(default)]
    no_scroll: bool,
    #[serde(default)]
    model_events: bool,
}

/// `events.get_task_plots`: the last iterations of each plot.
pub(super) async fn get_task_plots(state: &State, call: &Call) -> Reply {
    let request: TaskPlots = call.arguments()?;
    let task = request.task.clone().ok_or_else(|| ApiError::missing_field("task"))?;
    let plots = latest_plots(state, vec![task], &request).await?;
    let plots: Vec<Value> = plots.into_iter().map(|plot| plot.event).collect();
    let mut reply = json!({"returned": plots.len(), "total": plots.len(), "plots": plots});
    if !request.no_scroll {
        reply["scroll_id"] = END_OF_PLOTS.into();
    }
    Ok(reply)
}

/// `events.get_multi_task_plots`: the same of several tasks, as `{metric: {variant: {task: {iter: ..}}}}`.
pub(super) async fn get_multi_task_plots(state: &State, call: &Call) -> Reply {
    let request: TaskPlots = call.arguments()?;
    check_count(&request.tasks)?;
    let plots = latest_plots(state, request.tasks.clone(), &request).await?;
    let returned = plots.len();
    let mut nested = Map::new();
    for plot in plots {
        // One event at most has this metric, variant, task and iteration.
        let shown = json!({"name": plot.task_name, "plots": [plot.event]});
        insert(&mut nested, &[&plot.metric, &plot.variant, &plot.task, &plot.iter.to_string()], shown);
    }
    let mut reply = json!({"plots": nested, "returned": returned, "total": returned});
    if !request.no_scroll {
        reply["scroll_id"] = END_OF_PLOTS.into();
    }
    Ok(reply)
}

struct Plot {
    task: String,
    task_name: String,
    metric: String,
    variant: String,
    iter: i64,
    event: Value,
}

async fn latest_plots(state: &State, tasks: Vec<String>, request: &TaskPlots) -> Result<Vec<Plot>, ApiError> {
    let iterations = size("iters", request.iters, 1, MAX_ITERATIONS)?;
    let filter = filter(request.metrics.clone());
    let is_model = request.model_events;
    match request.scroll_id.as_deref() {
        None => {}
        Some(END_OF_PLOTS) => return Ok(Vec::new()),
        Some(other) => return Err(ApiError::invalid_scroll_id("", &[("scroll_id", &other)])),
    }
    state
        .store
        .read(move |connection| {
            let mut plots = Vec::new();
            for task in tasks {
                let facts = known_owner(connection, &task, is_model)?;
                let Some(owner) = events::owner_of(connection, &task)? else { continue };
                let shown = Shown { owner: &task, is_model };
                for series in events::series_of(connection, owner, &[Kind::Plot], &filter)? {
                    for (iter, event) in events::last_events(connection, shown, &series, iterations)? {
                        plots.push(Plot {
                            task: task.clone(),
                            task_name: facts.name.clone(),
                            metric: series.metric.clone(),
                            variant: series.variant.clone(),
                            iter,
                            event,
                        });
                    }
                }
            }
            Ok(plots)
        })
        .await
}

/// `events.debug_images`.
pub(super) async fn debug_images(state: &State, call: &Call) -> Reply {
    page(state, call, Kind::Image).await
}

/// `events.plots`.
pub(super) async fn plots(state: &State, call: &Call) -> Reply {
    page(state, call, Kind::Plot).await
}

#[derive(Clone, Debug, Deserialize)]
struct TaskMetric {
    task: String,
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    variants: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Page {
    metrics: Option<Vec<TaskMetric>>,
    task: Option<String>,
    iters: Option<i64>,
    #[serde(default = "yes")]
    navigate_earlier: bool,
    #[serde(default)]
    refresh: bool,
    scroll_id: Option<String>,
    #[serde(default)]
    model_events: bool,
}

fn yes() -> bool {
    true
}

/// The smallest and largest iteration that a reader has seen of each task.
type Seen = BTreeMap<String, (i64, i64)>;

/// The next iterations of each task, from the latest to the earlier ones or back. A task that has no more is answered
/// with no iterations, and its place is kept.
async fn page(state: &State, call: &Call, kind: Kind) -> Reply {
    let request: Page = call.arguments()?;
    let count = size("iters", request.iters, 1, MAX_ITERATIONS)?;
    let tasks = by_task(request.metrics, request.task)?;
    let mut seen: Seen = match &request.scroll_id {
        Some(id) if !request.refresh => scroll::decode(id)?,
        Some(_) | None => Seen::new(),
    };
    let (earlier, is_model) = (request.navigate_earlier, request.model_events);
    state
        .store
        .read(move |connection| {
            let mut metrics = Vec::new();
            for (task, filter) in &tasks {
                known_owner(connection, task, is_model)?;
                let series: Vec<SeriesRow> = match events::owner_of(connection, task)? {
                    Some(owner) => events::series_of(connection, owner, &[kind], filter)?,
                    None => Vec::new(),
                };
                let iterations = match range(seen.get(task).copied(), earlier) {
                    Some(range) => events::iterations_of(connection, &series, range, earlier, count)?,
                    None => Vec::new(),
                };
                let shown = Shown { owner: task, is_model };
                let mut pages = Vec::new();
                for iter in iterations {
                    widen(&mut seen, task, iter);
                    let events = events::events_at(connection, shown, &series, iter)?;
                    pages.push(json!({"iter": iter, "events": events}));
                }
                metrics.push(json!({"task": task, "iterations": pages}));
            }
            let scroll_id = scroll::encode(&seen)?;
            Ok(json!({"metrics": metrics, "scroll_id": scroll_id}))
        })
        .await
}

/// What is asked of each task. A task that is named without a metric is asked for all of them.
fn by_task(metrics: Option<Vec<TaskMetric>>, task: Option<String>) -> Result<BTreeMap<String, MetricFilter>, ApiError> {
    let mut tasks: BTreeMap<String, Option<MetricFilter>> = BTreeMap::new();
    let whole = task.map(|task| TaskMetric { task, metric: None, variants: None });
    for one in metrics.into_iter().flatten().chain(whole) {
        let filter = tasks.entry(one.task).or_insert_with(|| Some(MetricFilter::default()));
        match (filter.as_mut(), one.metric) {
            (Some(filter), Some(metric)) => filter.metrics.push((metric, one.variants.unwrap_or_default())),
            (Some(_), None) => *filter = None,
            (None, _) => {}
        }
    }
    if tasks.is_empty() {
        return Err(ApiError::missing_field("metrics"));
    }
    Ok(tasks.into_iter().map(|(task, filter)| (task, filter.unwrap_or_default())).collect())
}

/// The iterations beside those that were seen.
fn range(seen: Option<(i64, i64)>, earlier: bool) -> Option<(i64, i64)> {
    match seen {
        None => Some((i64::MIN, i64::MAX)),
        Some((low, _)) if earlier => low.checked_sub(1).map(|high| (i64::MIN, high)),
        Some((_, high)) => high.checked_add(1).map(|low| (low, i64::MAX)),
    }
}

/// Notes that a reader was shown an iteration.
fn widen(seen: &mut Seen, task: &str, iter: i64) {
    let (low, high) = seen.entry(task.to_owned()).or_insert((iter, iter));
    (*low, *high) = ((*low).min(iter), (*high).max(iter));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(task: &str, metric: Option<&str>) -> TaskMetric {
        TaskMetric { task: task.to_owned(), metric: metric.map(str::to_owned), variants: None }
    }

    #[test]
    fn a_task_without_a_metric_asks_for_all_of_them() {
        let tasks = by_task(Some(vec![asked("a", Some("m")), asked("b", Some("m")), asked("a", None)]), None).unwrap();
        assert!(tasks["a"].is_empty() && !tasks["b"].is_empty());
        assert!(by_task(Some(Vec::new()), None).unwrap_err().is(400, 12));
    }

    #[test]
    fn reading_goes_on_beside_what_was_seen() {
        let mut seen = Seen::new();
        assert_eq!(range(None, true), Some((i64::MIN, i64::MAX)));
        for iter in [9, 8, 7] {
            widen(&mut seen, "t", iter);
        }
        assert_eq!(range(seen.get("t").copied(), true), Some((i64::MIN, 6)));
        assert_eq!(range(seen.get("t").copied(), false), Some((10, i64::MAX)));
        assert_eq!(range(Some((i64::MIN, i64::MAX)), true), None);
    }
}
