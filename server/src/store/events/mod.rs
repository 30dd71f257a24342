//! Rows of the events of tasks and models.
//!
//! Console lines stand in one table in the order (timestamp, arrival). Everything else belongs to a *series*: one
//! metric and variant of one kind; within it an iteration holds one event (an image: one per key), and reporting it
//! again overwrites it. The summary of a series is kept up to date by the transaction that appends to it.

mod append;
mod delete;
mod fold;
mod housekeeper;
mod json;
mod limits;
mod log;
mod merge;
mod model;
mod owners;
mod pack;
mod packs;
mod pages;
mod sampler;
mod scalars;
mod scan;
mod series;
mod summary;

pub(crate) use append::{Arrival, Touched, append};
pub(crate) use delete::{ClearLog, clear_log_step, delete_for_tasks, delete_owner, purge_step};
pub(crate) use housekeeper::housekeeper;
pub(crate) use json::Shown;
pub(crate) use log::{Line, LogPage, log_lines, log_page};
pub(crate) use merge::{Cursor, MergeQuery, merged_page};
pub(crate) use model::{Body, Kind, MetricFilter, NewEvent, Payload};
pub(crate) use owners::{OwnerFacts, owner_facts, touch_owner};
pub(crate) use packs::differences as pack_differences;
pub(crate) use pages::{events_at, iterations_of, last_events, vectors};
pub(crate) use sampler::Sampled;
pub(crate) use scalars::{Axis, raw_points, sampled, single_value};
pub(crate) use series::{SeriesRow, owner_of, series_of};
pub(crate) use summary::{last_metric_sql, task_metrics};

#[cfg(test)]
mod curve_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod tests;
