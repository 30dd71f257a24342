//! What users of images, and root of containers that were killed, left behind where tasks work, and that the agent's user
//! could neither change nor remove.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocols::container::init::{INIT_PATH, LINK_FOLDER};
use protocols::container::{ContainerSpec, Network};
use protocols::order::{ATTEMPT_LABEL, ContainerOrder, ExecutorOrder, OWNER_LABEL, ROLE_LABEL};
use tracing::warn;

use super::create::{NewContainer, OwnMount};
use super::engine::Engine;
use super::error::EngineError;
use super::fence::fence;
use super::gpus::GpuAccess;
use super::link::{InitSocket, LinkError};
use super::ownership::{holds_files_of_others, take_back};
use super::program::{InitProgramError, init_program};
use super::run_folder::RunFolder;

/// How long the container may take from its start to the first word of its init.
const FIRST_WORD: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
enum ReclaimError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Program(#[from] InitProgramError),
    #[error("cannot make a folder for the container, or change what is in it")]
    Io(#[from] std::io::Error),
}

/// Gives this user what the task of an attempt, whose containers are gone, has left in its work folder and in the caches
/// that it wrote to: by root of one more container of its image, which lives for a moment. Does nothing where everything
/// is this user's, or this user is root.
///
/// Blocks. To be called like the methods of [`Engine`].
pub fn reclaim(order: &ExecutorOrder) {
    let Some(container) = &order.container else { return };
    let mounts = &container.mounts;
    let caches = [&mounts.sdk_cache, &mounts.apt_cache, &mounts.pip_cache].into_iter();
    let caches = caches.filter_map(|place| place.host.as_ref().map(PathBuf::from));
    let folders = std::iter::once(order.attempt_dir.join("work")).chain(caches);
    // By their own paths, which are the same in there.
    let folders: Vec<PathBuf> = folders
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| holds_files_of_others(folder))
        .collect();
    if folders.is_empty() {
        return;
    }
    if let Err(error) = by_container(order, container, &folders) {
        // The daemon says which folder it cannot remove.
        let error: &dyn std::error::Error = &error;
        warn!(error, ?folders, "what the task left stays with the user of its image");
        fence(&container.socket, &order.mark(), container.engine_patience());
    }
}

fn by_container(order: &ExecutorOrder, container: &ContainerOrder, folders: &[PathBuf]) -> Result<(), ReclaimError> {
    let engine = Engine::connect(&container.socket)?;
    let init = init_program(&order.cache_dir)?;
    let room = RunFolder::make(&order.mark(), "reclaim")?;
    let mount = |host: &Path, container: &str, read_only: bool| OwnMount {
        host: host.to_owned(),
        container: container.to_owned(),
        read_only,
    };
    let same = folders.iter().map(|folder| mount(folder, &folder.to_string_lossy(), false));
    let own = [mount(&init, INIT_PATH, true), mount(room.path(), LINK_FOLDER, false)];
    let network = Network { name: "none".to_owned(), ..Network::default() };
    // The same numbers mean the same users.
    let userns = container.spec.userns.clone();
    let spec =
        ContainerSpec { user: Some("0:0".to_owned()), networks: vec![network], userns, ..ContainerSpec::default() };
    let attempts = order.attempt_dir.parent().unwrap_or(&order.attempt_dir).display().to_string();
    let labels = [(ATTEMPT_LABEL, order.mark()), (ROLE_LABEL, "reclaim".to_owned()), (OWNER_LABEL, attempts)];
    let new = NewContainer {
        image: container.image.clone(),
        spec,
        entrypoint: vec![INIT_PATH.to_owned()],
        mounts: own.into_iter().chain(same).collect(),
        labels: labels.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        gpus: GpuAccess::None,
        ..NewContainer::default()
    };
    let socket = InitSocket::bind(room.path())?;
    let id = engine.create(None, container.spec.platform.as_deref(), new.body())?;
    engine.start(&id)?;
    let link = socket.accept(FIRST_WORD, &|| false)?;
    let taken = folders.iter().try_for_each(|folder| take_back(folder, &link));
    engine.remove(&id)?;
    Ok(taken?)
}
