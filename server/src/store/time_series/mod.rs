//! How the queues and the workers were, over time: written beside the changes themselves, trimmed in the background.

mod figures;
mod queues;
mod trim;
mod workers;

pub(crate) use figures::{FIGURES, Figures, category_of, figure_of};
pub(crate) use queues::{QueueState, Shift, history, record_queue, series_of, visible_series};
pub(crate) use trim::trimmer;
pub(crate) use workers::{Report, Reporter, presence, record_report, reported_figures, reporters, reports};

#[cfg(test)]
mod tests;
