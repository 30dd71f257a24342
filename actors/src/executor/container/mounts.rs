//! What of this machine a container sees, under the same paths.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use drivers::container::OwnMount;
use protocols::container::ContainerSpec;
use protocols::container::init::{INIT_PATH, LINK_FOLDER};
use protocols::order::{ContainerOrder, ExecutorOrder};

/// Variables that name a file which installers read: certificates that they are to trust, settings, passwords.
const FILES: [&str; 8] = [
    "CONDA_SSL_VERIFY",
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CONSTRAINT",
    "PIP_CONFIG_FILE",
    "NETRC",
];
/// Variables that name folders with packages, among URLs.
const FOLDERS: [&str; 2] = ["PIP_FIND_LINKS", "UV_FIND_LINKS"];

/// Where code and environment are in an image that is made of a task.
pub(super) const IMAGE_PLACE: &str = "/hostler/task";

/// The init, and the folder where it meets us.
pub(super) fn basic(init: &Path, link: &Path) -> Vec<OwnMount> {
    vec![self::init(init), mount(link, LINK_FOLDER, false)]
}

/// The init alone.
pub(super) fn init(program: &Path) -> OwnMount {
    mount(program, INIT_PATH, true)
}

/// The attempt's code, and everything else that the task may write.
pub(super) fn work(order: &ExecutorOrder) -> OwnMount {
    same(&order.attempt_dir.join("work"), true)
}

/// All caches, for whoever builds environments; made where they are missing, since what is not there now cannot be seen
/// by a container that is started now.
pub(super) fn caches(order: &ExecutorOrder) -> Vec<OwnMount> {
    let store = &order.python.store;
    let folders = [Some(&order.cache_dir), store.folder.as_ref(), store.download_folder.as_ref()];
    let mut mounts: Vec<OwnMount> = Vec::new();
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true).mode(0o700);
    for folder in folders.into_iter().flatten().filter(|folder| maker.create(folder).is_ok()) {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        if !mounts.iter().any(|mount| folder.starts_with(&mount.host)) {
            mounts.push(same(&folder, true));
        }
    }
    mounts
}

/// What is to be a part of an image, under the name that it will have there.
pub(super) fn for_image(folder: &Path) -> OwnMount {
    mount(folder, IMAGE_PLACE, false)
}

/// One folder, under the same path.
pub(super) fn same(folder: &Path, is_writable: bool) -> OwnMount {
    mount(folder, folder.to_string_lossy(), !is_writable)
}

fn mount(host: &Path, container: impl Into<String>, read_only: bool) -> OwnMount {
    OwnMount { host: host.to_owned(), container: container.into(), read_only }
}

/// Without those whose place the arguments of the container fill themselves, which count then: an engine refuses to mount
/// two things at one place.
pub(super) fn beside(spec: &ContainerSpec, own: impl IntoIterator<Item = OwnMount>) -> Vec<OwnMount> {
    own.into_iter().filter(|mount| !spec.has_place(&mount.container)).collect()
}

/// Caches that every container gets, made where they are missing: what the SDK downloads, packages of the system for
/// setup scripts. Where the configuration names no folder for one, or the arguments mount another one, there is none.
pub(super) fn of_operator(container: &ContainerOrder) -> io::Result<Vec<OwnMount>> {
    let mounts = &container.mounts;
    let mut all = vec![&mounts.sdk_cache];
    if !container.scripts.is_empty() {
        all.extend([&mounts.apt_cache, &mounts.pip_cache]);
    }
    let named = all.into_iter().filter_map(|place| Some((place.host.as_ref()?, &place.container)));
    let mounts = named.map(|(host, container)| mount(Path::new(host), container.as_str(), false));
    let mounts = beside(&container.spec, mounts);
    mounts.iter().try_for_each(|mount| fs::create_dir_all(&mount.host))?;
    Ok(mounts)
}

/// What variables of this machine lead installers to: certificates, packages in folders.
pub(super) fn for_installers() -> Vec<OwnMount> {
    let folders = FOLDERS.iter().filter_map(|name| std::env::var(name).ok());
    let folders: Vec<String> =
        folders.flat_map(|text| text.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>()).collect();
    let folders = folders.iter().map(|text| PathBuf::from(text.trim_start_matches("file://")));
    let files = FILES.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let mut places: Vec<PathBuf> = folders.chain(files).filter(|path| path.is_absolute() && path.exists()).collect();
    places.sort();
    places.dedup();
    places.iter().map(|file| same(file, false)).collect()
}
