//! Curves as readers get them, compared with what the rule says, over random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;

use super::model::SINGLE_VALUE_ITER;
use super::packs;
use super::tests::{ARRIVAL, NO_LIMITS, connection, event};
use super::*;
use crate::config::EventLimits;

/// What was reported and not removed: timestamp and value by iteration.
type Model = BTreeMap<i64, (i64, f64)>;

#[derive(Clone, Debug)]
struct Report {
    iter: i64,
    timestamp: i64,
    value: f64,
}

/// The rule in its plainest form: with `samples` points and more, the axis is cut into parts of the width
/// ceil(range / samples), and the points of a part become their mean at the first of them.
fn naive(model: &Model, axis: Axis, samples: usize) -> Vec<(i64, f64)> {
    let mut points: Vec<(i64, f64)> = model
        .iter()
        .filter(|(iter, _)| **iter != SINGLE_VALUE_ITER)
        .map(|(iter, (timestamp, value))| match axis {
            Axis::Iteration => (*iter, *value),
            Axis::Timestamp => (*timestamp, *value),
        })
        .collect();
    points.sort_by_key(|(x, _)| *x);
    if points.len() < samples {
        return points;
    }
    let (low, high) = (i128::from(points[0].0), i128::from(points[points.len() - 1].0));
    let width = (high - low + 1 + samples as i128 - 1) / samples as i128;
    let mut parts: BTreeMap<i128, Vec<(i64, f64)>> = BTreeMap::new();
    for (x, y) in points {
        parts.entry((i128::from(x) - low) / width).or_default().push((x, y));
    }
    parts.into_values().map(|part| (part[0].0, part.iter().map(|(_, y)| y / part.len() as f64).sum::<f64>())).collect()
}

#[track_caller]
fn compare(connection: &Connection, model: &Model) {
    let owner = owner_of(connection, "t").unwrap().unwrap();
    let series = &series_of(connection, owner, &[Kind::Scalar], &MetricFilter::default()).unwrap()[0];
    assert_eq!(packs::difference(connection, series).unwrap(), None);
    assert_eq!(series.events, model.len() as i64);
    let raw: Vec<_> = raw_points(connection, series.key, None, usize::MAX).unwrap();
    let expected: Vec<_> = model.iter().filter(|(iter, _)| **iter != SINGLE_VALUE_ITER).collect();
    assert!(
        raw.iter()
            .map(|point| (&point.iter, (point.timestamp, point.value)))
            .eq(expected.iter().map(|(i, v)| (*i, **v)))
    );
    let points = expected.len();
    let largest = model.values().fold(1.0_f64, |largest, (_, value)| largest.max(value.abs()));
    for samples in [1, 2, 7, 40, points.max(1), points + 1, 6000] {
        for axis in [Axis::Iteration, Axis::Timestamp] {
            let sampled = sampled(connection, series, axis, samples).unwrap();
            let naive = naive(model, axis, samples);
            let (x, y): (Vec<_>, Vec<_>) = naive.into_iter().unzip();
            assert_eq!(sampled.x, x, "{samples} samples by {axis:?}");
            for (found, expected) in sampled.y.iter().zip(y) {
                assert!(
                    (found / largest - expected / largest).abs() < 1e-9,
                    "{found} is not {expected}: {samples} by {axis:?}"
                );
            }
        }
    }
}

fn append_all(connection: &Connection, model: &mut Model, batch: &[Report], limits: &EventLimits) {
    let events = batch.iter().map(|report| {
        let payload = Payload::Scalar { value: report.value, x_axis_label: None };
        let body = Body::Series { metric: "m".to_owned(), variant: "v".to_owned(), iter: report.iter, payload };
        event(report.timestamp, body)
    });
    append(connection, events.collect(), Arrival { limits, ..ARRIVAL }, |_| Ok(None)).unwrap();
    model.extend(batch.iter().map(|report| (report.iter, (report.timestamp, report.value))));
}

/// Histories as they happen: steps forward with an occasional way back, far jumps, anything, and single values.
fn batches() -> impl Strategy<Value = Vec<Vec<Report>>> {
    let value = prop_oneof![8 => -1e3..1e3, 1 => Just(1e308), 1 => Just(-1e308), 1 => -1e-300..1e-300];
    let iterations = prop_oneof![
        4 => (-50_i64..300, 1_i64..4).prop_map(|(start, step)| (0..40).map(|n| start + n * step).collect::<Vec<_>>()),
        2 => prop::collection::vec(-40_i64..200, 1..30),
        1 => prop::collection::vec(any::<i64>(), 1..30),
        1 => Just(vec![SINGLE_VALUE_ITER, i64::MIN, i64::MAX, 0]),
    ];
    let batch = (iterations, prop::collection::vec((value, 0_i64..1_000_000), 40)).prop_map(|(iterations, rest)| {
        let reports = iterations.into_iter().zip(rest);
        reports.map(|(iter, (value, timestamp))| Report { iter, timestamp, value }).collect()
    });
    prop::collection::vec(batch, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_history_gives_the_curve_of_the_rule(batches in batches()) {
        let connection = connection();
        let mut model = Model::new();
        for batch in &batches {
            append_all(&connection, &mut model, batch, &NO_LIMITS);
        }
        compare(&connection, &model);
    }

    #[test]
    fn a_limit_takes_the_lowest_iterations(batches in batches(), most in 20_u64..200) {
        let connection = connection();
        let limits = EventLimits { series_events: Some(most), ..NO_LIMITS };
        let mut model = Model::new();
        for batch in &batches {
            append_all(&connection, &mut model, batch, &limits);
            if model.len() as u64 > most {
                while model.len() as u64 > most - (most / 64).min(512) {
                    let lowest = *model.keys().find(|iter| **iter != SINGLE_VALUE_ITER).unwrap();
                    model.remove(&lowest);
                }
            }
            compare(&connection, &model);
        }
    }
}

#[test]
fn packs_of_an_earlier_version_are_made_as_points_arrive() {
    let connection = connection();
    let mut model = Model::new();
    let report = |iter: i64| Report { iter, timestamp: iter, value: iter as f64 };
    append_all(&connection, &mut model, &(0..500).map(report).collect::<Vec<_>>(), &NO_LIMITS);
    let key = 1;
    packs::discard(&connection, key).unwrap();
    compare(&connection, &model);
    for iter in 500..600 {
        append_all(&connection, &mut model, &[report(iter)], &NO_LIMITS);
        compare(&connection, &model);
    }
    let packed: i64 = connection.query_row("SELECT packed FROM event_series", [], |row| row.get(0)).unwrap();
    assert!(packed > 550, "{packed}");
}

#[test]
fn a_pack_that_differs_is_found() {
    let connection = connection();
    let mut model = Model::new();
    let reports: Vec<Report> = (0..100).map(|iter| Report { iter, timestamp: iter, value: iter as f64 }).collect();
    append_all(&connection, &mut model, &reports, &NO_LIMITS);
    let check = || {
        let owner = owner_of(&connection, "t").unwrap().unwrap();
        let series = &series_of(&connection, owner, &[Kind::Scalar], &MetricFilter::default()).unwrap()[0];
        packs::difference(&connection, series).unwrap()
    };
    assert_eq!(check(), None);
    connection.execute("UPDATE scalar_points SET value = 7.5 WHERE iter = 3", []).unwrap();
    assert_eq!(check().as_deref(), Some("the packs differ from the points at iteration 3"));
    connection.execute("UPDATE scalar_packs SET content = x'00' WHERE first_iter = 0", []).unwrap();
    assert_eq!(check().as_deref(), Some("the pack from iteration 0 on cannot be read"));
    packs::discard(&connection, 1).unwrap();
    assert_eq!(check(), None);
}
