//! The `events` service: what tasks and models report, and how it is read.

mod add;
mod curves;
mod download;
mod log;
mod names;
mod parse;
mod purge;
mod request;
mod sample;
mod samples;
mod scroll;
mod task_events;
mod vectors;

pub(crate) use download::download_task_log;

use crate::http::{Call, Reply};
use crate::state::State;

/// Runs one action of the service.
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    Some(match action {
        "add" | "add_batch" => add::add(state, call).await,
        "clear_scroll" => scroll::clear(&call),
        "clear_task_log" => purge::clear_task_log(state, &call).await,
        "debug_images" => samples::debug_images(state, &call).await,
        "delete_for_model" => purge::delete_for_model(state, &call).await,
        "delete_for_task" => purge::delete_for_task(state, &call).await,
        "get_debug_image_sample" => sample::get_debug_image_sample(state, &call).await,
        "get_multi_task_metrics" => names::get_multi_task_metrics(state, &call).await,
        "get_multi_task_plots" => samples::get_multi_task_plots(state, &call).await,
        "get_plot_sample" => sample::get_plot_sample(state, &call).await,
        "get_scalar_metric_data" => task_events::get_scalar_metric_data(state, &call).await,
        "get_scalar_metrics_and_variants" => names::get_scalar_metrics_and_variants(state, &call).await,
        "get_task_events" => task_events::get_task_events(state, &call).await,
        "get_task_latest_scalar_values" => names::get_task_latest_scalar_values(state, &call).await,
        "get_task_log" => log::get_task_log(state, &call).await,
        "get_task_metrics" => names::get_task_metrics(state, &call).await,
        "get_task_plots" => samples::get_task_plots(state, &call).await,
        "get_task_single_value_metrics" => curves::get_task_single_value_metrics(state, &call).await,
        "get_vector_metrics_and_variants" => names::get_vector_metrics_and_variants(state, &call).await,
        "multi_task_scalar_metrics_iter_histogram" => curves::multi_task_histogram(state, &call).await,
        "next_debug_image_sample" => sample::next_debug_image_sample(state, &call).await,
        "next_plot_sample" => sample::next_plot_sample(state, &call).await,
        "plots" => samples::plots(state, &call).await,
        "scalar_metrics_iter_histogram" => curves::histogram(state, &call).await,
        "scalar_metrics_iter_raw" => curves::raw(state, &call).await,
        "vector_metrics_iter_histogram" => vectors::histogram(state, &call).await,
        _ => return None,
    })
}
