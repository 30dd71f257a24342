//! What workers reported, over time.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::intervals::{Intervals, at_least_shortest};
use super::series::{Aggregation, Series};
use crate::http::{Call, Reply};
use crate::services::span::{MOST_POINTS, Span};
use crate::state::State;
use crate::store::time_series::{self, FIGURES, Reporter};
use crate::store::{Snapshot, StoreResult};

#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    worker_ids: Vec<String>,
}

/// The names of the figures that workers ever reported, by category.
pub(super) async fn get_metric_keys(state: &State, call: &Call) -> Reply {
    let Keys { worker_ids } = call.arguments()?;
    let known = state.store.read(move |connection| time_series::reported_figures(connection, &worker_ids)).await?;
    let mut categories: Map<String, Value> = Map::new();
    let mut names: Vec<_> = FIGURES.iter().enumerate().filter(|(place, _)| known & (1 << place) != 0).collect();
    names.sort_by_key(|(_, figure)| **figure);
    for (_, figure) in names {
        let keys = categories.entry(time_series::category_of(figure)).or_insert_with(|| json!([]));
        keys.as_array_mut().into_iter().for_each(|keys| keys.push(json!(figure)));
    }
    if categories.is_empty() {
        return Err(ApiError::worker_stats_not_found("", &[]));
    }
    let categories = categories.into_iter().map(|(name, keys)| json!({"name": name, "metric_keys": keys}));
    Ok(json!({"categories": categories.collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
struct Item {
    key: String,
    #[serde(default)]
    aggregation: Aggregation,
}

#[derive(Deserialize)]
struct Statistics {
    items: Vec<Item>,
    #[serde(default)]
    worker_ids: Vec<String>,
    #[serde(default)]
    split_by_resource: bool,
}

/// One figure that is asked for, and in which ways.
struct Asked {
    figure: usize,
    aggregations: Vec<Aggregation>,
}

/// Figures of workers by intervals; with `split_by_resource` also of each GPU.
pub(super) async fn get_stats(state: &State, call: &Call) -> Reply {
    let span = at_least_shortest(Span::of(call)?);
    let Statistics { items, worker_ids, split_by_resource } = call.arguments()?;
    span.check_size(items.len())?;
    let asked = asked(&items);
    let intervals = Intervals::of_statistics(span);
    let workers = state
        .store
        .read(move |connection| {
            let mut workers = Vec::new();
            let mut series = 0;
            for reporter in time_series::reporters(connection, &worker_ids)? {
                let metrics = metrics(connection, &reporter, &asked, span, intervals, split_by_resource)?;
                for metric in metrics.iter().flat_map(|metric| metric["stats"].as_array()).flatten() {
                    series += 1 + metric["resource_series"].as_array().map_or(0, Vec::len);
                }
                span.check_size(series)?;
                if !metrics.is_empty() {
                    workers.push(json!({"worker": reporter.worker, "metrics": metrics}));
                }
            }
            Ok(workers)
        })
        .await?;
    Ok(json!({"workers": workers}))
}

/// The known figures among the items, each once.
fn asked(items: &[Item]) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    for item in items {
        let Some(figure) = time_series::figure_of(&item.key) else { continue };
        match asked.iter_mut().find(|known| known.figure == figure) {
            Some(known) if known.aggregations.contains(&item.aggregation) => {}
            Some(known) => known.aggregations.push(item.aggregation),
            None => asked.push(Asked { figure, aggregations: vec![item.aggregation] }),
        }
    }
    asked
}

fn metrics(
    connection: &Snapshot,
    reporter: &Reporter,
    asked: &[Asked],
    span: Span,
    intervals: Intervals,
    split_by_resource: bool,
) -> StoreResult<Vec<Value>> {
    // Beyond that the answer would be refused anyway.
    let most_devices = MOST_POINTS as usize / (intervals.count * asked.len()).max(1) + 1;
    let mut found: Vec<Series> = asked.iter().map(|_| Series::new(intervals.count, most_devices)).collect();
    time_series::reports(connection, reporter.key, span.from, span.to, |report| {
        let Some(interval) = intervals.place(report.at) else { return };
        for (figure, values) in report.figures.iter() {
            let Some(place) = asked.iter().position(|asked| asked.figure == figure) else { continue };
            let is_split = split_by_resource && time_series::category_of(FIGURES[figure]) == "gpu";
            found[place].add(interval, values, is_split);
        }
    })?;
    let dates = Value::from(intervals.dates());
    let metrics = asked.iter().zip(&found).filter(|(_, series)| !series.is_empty()).map(|(asked, series)| {
        let stats = asked.aggregations.iter().map(|aggregation| {
            let mut stat = json!({"aggregation": aggregation, "dates": dates, "values": series.values(*aggregation)});
            if let Some(resources) = series.resources(*aggregation) {
                stat["resource_series"] = resources;
            }
            stat
        });
        json!({"metric": FIGURES[asked.figure], "stats": stats.collect::<Vec<_>>()})
    });
    Ok(metrics.collect())
}

/// How many workers reported in each interval, and how many of them ran a task.
pub(super) async fn get_activity_report(state: &State, call: &Call) -> Reply {
    let span = at_least_shortest(Span::of(call)?);
    span.check_size(2)?;
    let intervals = Intervals::of_activity(span);
    let (total, active) = state
        .store
        .read(move |connection| {
            let (mut total, mut active) = (vec![0_u32; intervals.count], vec![0_u32; intervals.count]);
            for reporter in time_series::reporters(connection, &[])? {
                // Reports come in the order of time: a worker counts once in an interval.
                let (mut last_seen, mut last_busy) = (None, None);
                time_series::presence(connection, reporter.key, span.from, span.to, |at, is_busy| {
                    let Some(interval) = intervals.place(at) else { return };
                    if last_seen.replace(interval) != Some(interval) {
                        total[interval] += 1;
                    }
                    if is_busy && last_busy.replace(interval) != Some(interval) {
                        active[interval] += 1;
                    }
                })?;
            }
            Ok((total, active))
        })
        .await?;
    let dates = intervals.dates();
    Ok(json!({"total": {"dates": dates, "counts": total}, "active": {"dates": dates, "counts": active}}))
}
