//! One debug image or plot at a time, and the one beside it: how a viewer steps through what a task reported.

use protocols::clearml::error::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::known_owner;
use super::scroll;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, Kind, MetricFilter, SeriesRow, Shown};
use crate::store::{Snapshot, StoreResult};

#[derive(Debug, Deserialize)]
struct GetSample {
    task: String,
    metric: String,
    variant: Option<String>,
    iteration: Option<i64>,
    #[serde(default = "yes")]
    navigate_current_metric: bool,
    #[serde(default)]
    model_events: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct NextSample {
    task: String,
    scroll_id: String,
    #[serde(default = "yes")]
    navigate_earlier: bool,
    /// Not the neighbour in the same iteration, but the same one in the next.
    #[serde(default)]
    next_iteration: bool,
    #[serde(default)]
    model_events: bool,
}

/// What a viewer looks at. Of plots all variants of a metric are shown together, so they have no variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    metric: String,
    variant: Option<String>,
    iter: i64,
    /// Whether steps stay with the metric.
    one_metric: bool,
}

/// Series that are shown together.
struct Group {
    metric: String,
    variant: Option<String>,
    series: Vec<SeriesRow>,
}

/// `events.get_debug_image_sample`.
pub(super) async fn get_debug_image_sample(state: &State, call: &Call) -> Reply {
    let request: GetSample = call.arguments()?;
    if request.variant.is_none() {
        return Err(ApiError::missing_field("variant"));
    }
    get(state, request, Kind::Image).await
}

/// `events.get_plot_sample`.
pub(super) async fn get_plot_sample(state: &State, call: &Call) -> Reply {
    let request: GetSample = call.arguments()?;
    get(state, GetSample { variant: None, ..request }, Kind::Plot).await
}

/// `events.next_debug_image_sample`.
pub(super) async fn next_debug_image_sample(state: &State, call: &Call) -> Reply {
    next(state, call, Kind::Image).await
}

/// `events.next_plot_sample`.
pub(super) async fn next_plot_sample(state: &State, call: &Call) -> Reply {
    next(state, call, Kind::Plot).await
}

/// The sample of an iteration, or the latest one; where the iteration has none, the one before it.
async fn get(state: &State, request: GetSample, kind: Kind) -> Reply {
    state
        .store
        .read(move |connection| {
            known_owner(connection, &request.task, request.model_events)?;
            let shown = Shown { owner: &request.task, is_model: request.model_events };
            let variants = request.variant.clone().into_iter().collect();
            let filter = MetricFilter { metrics: vec![(request.metric.clone(), variants)] };
            let groups = groups(connection, shown, kind, &filter)?;
            let high = request.iteration.unwrap_or(i64::MAX);
            let found = match groups.first() {
                Some(group) => latest(connection, &group.series, (i64::MIN, high))?,
                None => None,
            };
            let position = Position {
                metric: request.metric,
                variant: request.variant,
                iter: found.unwrap_or(high),
                one_metric: request.navigate_current_metric,
            };
            answer(connection, shown, kind, groups.first().filter(|_| found.is_some()), &position)
        })
        .await
}

/// The sample beside the one that the scroll id says; without one, nothing, and the place is kept.
async fn next(state: &State, call: &Call, kind: Kind) -> Reply {
    let request: NextSample = call.arguments()?;
    let position: Position = scroll::decode(&request.scroll_id)?;
    state
        .store
        .read(move |connection| {
            known_owner(connection, &request.task, request.model_events)?;
            let shown = Shown { owner: &request.task, is_model: request.model_events };
            let mut filter = MetricFilter::default();
            if position.one_metric || request.next_iteration {
                let variants = position.variant.clone().filter(|_| request.next_iteration).into_iter().collect();
                filter.metrics.push((position.metric.clone(), variants));
            }
            let groups = groups(connection, shown, kind, &filter)?;
            let beside = beside(connection, &groups, &position, request.navigate_earlier)?;
            match beside {
                None => answer(connection, shown, kind, None, &position),
                Some((group, iter)) => {
                    let (metric, variant) = (group.metric.clone(), group.variant.clone());
                    let position = Position { metric, variant, iter, one_metric: position.one_metric };
                    answer(connection, shown, kind, Some(group), &position)
                }
            }
        })
        .await
}

/// What is shown together, by metric and variant.
fn groups(connection: &Snapshot, shown: Shown<'_>, kind: Kind, filter: &MetricFilter) -> StoreResult<Vec<Group>> {
    let Some(owner) = events::owner_of(connection, shown.owner)? else { return Ok(Vec::new()) };
    let mut groups: Vec<Group> = Vec::new();
    for series in events::series_of(connection, owner, &[kind], filter)? {
        let variant = (kind == Kind::Image).then(|| series.variant.clone());
        match groups.last_mut().filter(|group| group.metric == series.metric && group.variant == variant) {
            Some(group) => group.series.push(series),
            None => groups.push(Group { metric: series.metric.clone(), variant, series: vec![series] }),
        }
    }
    Ok(groups)
}

/// The neighbour of a position: within its iteration, else at the near end of the next iteration.
fn beside<'a>(
    connection: &Snapshot,
    groups: &'a [Group],
    position: &Position,
    earlier: bool,
) -> StoreResult<Option<(&'a Group, i64)>> {
    let name = |group: &Group| (group.metric.clone(), group.variant.clone());
    let here = (position.metric.clone(), position.variant.clone());
    let iter = position.iter;
    let mut ordered: Vec<&Group> = groups.iter().collect();
    if earlier {
        ordered.reverse();
    }
    let is_beyond = |group: &Group| if earlier { name(group) < here } else { name(group) > here };
    for group in ordered.iter().filter(|group| is_beyond(group)) {
        if latest(connection, &group.series, (iter, iter))?.is_some() {
            return Ok(Some((group, iter)));
        }
    }
    let range = if earlier {
        iter.checked_sub(1).map(|high| (i64::MIN, high))
    } else {
        iter.checked_add(1).map(|low| (low, i64::MAX))
    };
    let Some(range) = range else { return Ok(None) };
    let all: Vec<SeriesRow> = groups.iter().flat_map(|group| group.series.iter().cloned()).collect();
    let Some(iter) = events::iterations_of(connection, &all, range, earlier, 1)?.first().copied() else {
        return Ok(None);
    };
    for group in ordered {
        if latest(connection, &group.series, (iter, iter))?.is_some() {
            return Ok(Some((group, iter)));
        }
    }
    Ok(None)
}

fn latest(connection: &Snapshot, series: &[SeriesRow], range: (i64, i64)) -> StoreResult<Option<i64>> {
    Ok(events::iterations_of(connection, series, range, true, 1)?.first().copied())
}

/// The events of a group at a position, and between which iterations it can be seen.
fn answer(
    connection: &Snapshot,
    shown: Shown<'_>,
    kind: Kind,
    group: Option<&Group>,
    position: &Position,
) -> StoreResult<Value> {
    let series = group.map_or(&[][..], |group| &group.series);
    let events = events::events_at(connection, shown, series, position.iter)?;
    let max = latest(connection, series, (i64::MIN, i64::MAX))?;
    let min = events::iterations_of(connection, series, (i64::MIN, i64::MAX), false, 1)?.first().copied();
    let mut reply = json!({"scroll_id": scroll::encode(position)?, "min_iteration": min, "max_iteration": max});
    if kind == Kind::Image {
        reply["event"] = events.into_iter().next_back().unwrap_or(Value::Null);
    } else {
        reply["events"] = events.into();
    }
    Ok(reply)
}
