//! What a user of the image left where the task worked, which the agent's user could not remove.

use std::path::Path;

use drivers::container::{
    Engine, GpuAccess, NewContainer, RunFolder, fence, holds_files_of_others, init_program, take_back,
};
use protocols::container::init::INIT_PATH;
use protocols::container::{ContainerSpec, Network};
use protocols::failure::{FailureClass, Phase};
use protocols::order::{ContainerOrder, ExecutorOrder};
use tracing::warn;

use super::running::{Running, of_engine, of_system};
use super::{look, mounts};
use crate::executor::steps::StepError;

/// Gives the work folder of an attempt, whose containers are gone, to this user: by root of one more container of its
/// image, which lives for a moment. Does nothing where everything is this user's, or this user is root.
pub(in crate::executor) fn reclaim(order: &ExecutorOrder, container: &ContainerOrder) {
    // By its own path, which is the same in there.
    let Ok(work) = order.attempt_dir.join("work").canonicalize() else { return };
    if !holds_files_of_others(&work) {
        return;
    }
    if let Err(StepError::Failed(failure)) = reclaim_folder(order, container, &work) {
        // The daemon says which folder it cannot remove.
        warn!(%failure, "what the task left stays with the user of its image");
        fence(&container.socket, &order.mark());
    }
}

fn reclaim_folder(order: &ExecutorOrder, container: &ContainerOrder, work: &Path) -> Result<(), StepError> {
    let engine = Engine::connect(&container.socket).map_err(|error| of_engine(&error))?;
    let init = init_program(&order.cache_dir)
        .map_err(|error| StepError::new(FailureClass::Infrastructure, Phase::Reporting, &error))?;
    let folder = RunFolder::make(&order.mark(), "reclaim").map_err(|error| of_system(&error))?;
    let mut own = mounts::basic(&init, folder.path());
    own.push(mounts::same(work, true));
    let network = Network { name: "none".to_owned(), ..Network::default() };
    let spec = ContainerSpec { user: Some("0:0".to_owned()), networks: vec![network], ..ContainerSpec::default() };
    let new = NewContainer {
        image: container.image.clone(),
        spec,
        entrypoint: vec![INIT_PATH.to_owned()],
        mounts: own,
        labels: look::labels(order, "reclaim"),
        gpus: GpuAccess::None,
        ..NewContainer::default()
    };
    let running = Running::start(&engine, &new, folder, &|| false)?;
    let taken = take_back(work, running.link());
    running.remove();
    taken.map_err(|error| of_system(&error))
}
