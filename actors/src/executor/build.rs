//! Code and environment of a task in a folder of a person's own: what a preparation makes, but standing by itself.

use std::path::Path;

use protocols::failure::{FailureClass, Phase};
use protocols::order::{BUILT_FILE, ExecutorOrder, encode};

use super::aside::work_aside;
use super::container::ImageWish;
use super::exit::ExecutorExit;
use super::steps::{self, StepError};

/// Builds what the order in `directory` says in `into`, and makes an image of it where one is wished for, and leaves word
/// in `directory` of what was made, or why not. Ends soon after SIGTERM, and after the end of `starter`.
pub fn build(directory: &Path, starter: u32, into: &Path, image: Option<ImageWish>) -> ExecutorExit {
    let (into, word) = (into.to_owned(), directory.join(BUILT_FILE));
    work_aside(directory, starter, move |order, console, stop| {
        let built = steps::build(order, console, stop, &into, image.as_ref());
        if built.is_err() || std::os::unix::process::parent_id() != starter {
            // The starter does it after us, unless it was killed.
            remove_containers(order);
        }
        let built = built?;
        std::fs::write(word, encode(&built))
            .map_err(|error| StepError::new(FailureClass::Infrastructure, Phase::Environment, &error))
    })
}

fn remove_containers(order: &ExecutorOrder) {
    if let Some(container) = &order.container {
        drivers::container::fence(&container.socket, &order.mark(), container.engine_patience());
    }
}
