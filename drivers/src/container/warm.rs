//! Containers that run before there is a task for them, each kept by a process of its own.
//!
//! ```text
//! warm/wanted/KEY.json     what the container of a task was like; its modification time says when it was wanted last
//! warm/making/KEY.PID/     a container that is being made
//! warm/idle/KEY.PID/       one that idles: whoever renames the folder has it
//! warm/taken/KEY.PID/      one that is being handed over
//!     holder               socket of its keeper, which gives the link to its init away
//!     room/                in the container it is where this machine has the folders of all attempts
//! ```
//!
//! A container cannot be given more folders when it runs. So it gets a room in advance, and a task that takes it moves
//! in: the room goes into the attempt's folder, and what the attempt works with into the room. Its path is the same as
//! before, on this machine through a link, in the container without one.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use protocols::container::init::LINK_FOLDER;
use protocols::order::ATTEMPT_LABEL;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::create::{NewContainer, OwnMount};
use super::engine::Engine;
use super::error::EngineError;
use super::handover::{self, Handed};
use super::link::{Greeting, InitLink, InitSocket, LinkError, readable};
use super::run_folder::RunFolder;

/// How long a container may take from its start to the first word of its init.
const FIRST_WORD: Duration = Duration::from_secs(60);
/// How long one who has taken a container may take until he says so.
const HANDOVER: Duration = Duration::from_secs(10);
/// What the marks of containers begin with that are nobody's yet.
const MARK: &str = "warm.";
/// Kinds of containers that are remembered: more than a machine keeps warm.
const MOST_WANTED: usize = 32;
/// What the names of containers begin with that were taken; the attempt's mark follows.
const TAKEN_NAME: &str = "hostler.";
const HOLDER: &str = "holder";
const ROOM: &str = "room";
/// Name of the folder in memory, as for a container that is started for its task.
const RUN_FOLDER: &str = "task";

/// What a container is like before it is somebody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmTemplate {
    /// Socket of the engine.
    pub socket: PathBuf,
    /// Its image by its id, its arguments, its mounts and its labels, as far as they are not of one attempt.
    pub container: NewContainer,
    /// The folder of all attempts.
    pub attempts: PathBuf,
}

impl WarmTemplate {
    /// Equal for containers that can stand for each other.
    pub fn key(&self) -> io::Result<String> {
        Ok(super::digest([serde_json::to_string(self)?]))
    }
}

/// Why no container idles.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// The engine does not make it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its init is not heard of.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file or a folder.
    #[error("cannot keep a container in {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A container that idled, and is an attempt's now.
#[derive(Debug)]
pub struct Taken {
    /// The engine's name for it.
    pub id: String,
    /// The link to its init.
    pub link: InitLink,
    /// Its folder in memory.
    pub folder: RunFolder,
}

/// All containers of a daemon that idle.
#[derive(Clone, Debug)]
pub struct WarmShelf {
    root: PathBuf,
}

impl WarmShelf {
    /// The shelf in a folder, which is made when it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Writes down that a task had such a container, so that one idles for the next.
    pub fn want(&self, template: &WarmTemplate) -> io::Result<()> {
        let path = self.wanted_file(&template.key()?);
        private(path.parent().unwrap_or(&self.root))?;
        // Arguments may hold secrets: a temporary file is its maker's alone.
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&self.root))?;
        serde_json::to_writer(&mut file, template)?;
        file.persist(&path)?;
        // What is like no other task's is never wanted again.
        self.wanted().iter().skip(MOST_WANTED).for_each(|key| self.forget(key));
        Ok(())
    }

    /// The keys of what was wanted, the last first.
    pub fn wanted(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join("wanted")) else { return Vec::new() };
        let mut all: Vec<(SystemTime, String)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, name.strip_suffix(".json")?.to_owned()))
            })
            .collect();
        all.sort_by(|one, other| other.cmp(one));
        all.into_iter().map(|(_, key)| key).collect()
    }

    /// What a container with this key is like.
    pub fn template(&self, key: &str) -> io::Result<WarmTemplate> {
        Ok(serde_json::from_slice(&fs::read(self.wanted_file(key))?)?)
    }

    /// Nobody is to make such a container before a task has had one again.
    pub fn forget(&self, key: &str) {
        if let Err(error) = fs::remove_file(self.wanted_file(key)) {
            debug!(%error, key, "was not wanted");
        }
    }

    /// Removes what keepers that are dead have left.
    pub fn clear(&self) {
        for folder in ["making", "idle", "taken", "failed"] {
            remove(&self.root.join(folder));
        }
    }

    /// Whether the process with this id could not keep what it was to keep. Asked once.
    pub fn has_failed(&self, key: &str, pid: i32) -> bool {
        fs::remove_file(self.place("failed", &format!("{key}.{pid}"))).is_ok()
    }

    /// Makes a container and keeps it until it is taken, which returns true, or until `is_over`. Then it is removed.
    pub fn keep(&self, key: &str, is_over: &dyn Fn() -> bool) -> Result<bool, WarmError> {
        let name = format!("{key}.{}", std::process::id());
        let keep = || {
            let template = self.template(key).map_err(failed(&self.wanted_file(key)))?;
            let keeper = Keeper { shelf: self, name: &name, engine: Engine::connect(&template.socket)? };
            keeper.keep(&template, is_over)
        };
        let result = keep();
        if result.is_err() {
            let failed = self.place("failed", &name);
            // Nobody knows then, and it is tried again.
            let _ = private(&self.root.join("failed")).and_then(|()| fs::write(&failed, b""));
        }
        for folder in ["making", "idle", "taken"] {
            remove(&self.place(folder, &name));
        }
        result
    }

    /// Takes one that idles, if there is one, and moves the attempt into it: `attempt_dir` keeps its place, with its
    /// folder `work`. What goes wrong costs time alone: the next container is made as usual.
    pub fn take(&self, key: &str, mark: &str, attempt_dir: &Path, engine: &Engine) -> Option<Taken> {
        for idle in self.idle_folders(key).collect::<Vec<_>>() {
            let name = idle.file_name()?.to_owned();
            let taken = self.root.join("taken").join(name);
            // Of several who want it, one succeeds.
            let is_ours = private(&self.root.join("taken")).and_then(|()| fs::rename(&idle, &taken));
            if is_ours.is_err() {
                continue;
            }
            match move_in(&taken, mark, attempt_dir, engine) {
                Ok(container) => {
                    remove(&taken);
                    return Some(container);
                }
                Err(error) => {
                    debug!(error = &*error as &dyn std::error::Error, "a container that idled is not used");
                    remove(&taken);
                }
            }
        }
        None
    }

    fn idle_folders(&self, key: &str) -> impl Iterator<Item = PathBuf> + use<> {
        let start = format!("{key}.");
        let entries = fs::read_dir(self.root.join("idle")).into_iter().flatten().flatten();
        entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(&start)).map(|entry| entry.path())
    }

    fn wanted_file(&self, key: &str) -> PathBuf {
        self.root.join("wanted").join(format!("{key}.json"))
    }

    fn place(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }
}

/// The mark of the container that the process with this id keeps.
pub fn warm_mark(key: &str, pid: i32) -> String {
    format!("{MARK}{key}.{pid}")
}

/// Whose a container is: that of its label, unless it was nobody's when it was made.
pub(super) fn owner<'a>(label: &'a str, names: &'a [String]) -> &'a str {
    let taken = names.iter().find_map(|name| name.strip_prefix(TAKEN_NAME));
    taken.filter(|_| label.starts_with(MARK)).unwrap_or(label)
}

/// The name of a container that was taken by this attempt.
pub(super) fn taken_name(mark: &str) -> String {
    format!("{TAKEN_NAME}{mark}")
}

struct Keeper<'a> {
    shelf: &'a WarmShelf,
    name: &'a str,
    engine: Engine,
}

impl Keeper<'_> {
    fn keep(&self, template: &WarmTemplate, is_over: &dyn Fn() -> bool) -> Result<bool, WarmError> {
        let making = self.shelf.place("making", self.name);
        let room = making.join(ROOM);
        private(&making).map_err(failed(&making))?;
        // Whoever the image's user is: others of this machine do not come here.
        open_folder(&room).map_err(failed(&room))?;
        let mark = format!("{MARK}{}", self.name);
        let memory = RunFolder::make(&mark, RUN_FOLDER).map_err(failed(&making))?;
        let socket = InitSocket::bind(memory.path())?;
        let mut new = template.container.clone();
        new.labels.push((ATTEMPT_LABEL.to_owned(), mark));
        let mount = |host: &Path, container: &str| OwnMount {
            host: host.to_owned(),
            container: container.to_owned(),
            read_only: false,
        };
        new.mounts.push(mount(memory.path(), LINK_FOLDER));
        new.mounts.push(mount(&room, &template.attempts.to_string_lossy()));
        let id = self.engine.create(None, new.spec.platform.as_deref(), new.body())?;
        let kept = self.offer(&id, socket, &memory, is_over);
        if matches!(kept, Ok(true)) {
            // It has another name now.
            std::mem::forget(memory);
            return kept;
        }
        if let Err(error) = self.engine.remove(&id) {
            warn!(error = &error as &dyn std::error::Error, id, "a container that idled is not removed");
        }
        kept
    }

    fn offer(
        &self,
        id: &str,
        socket: InitSocket,
        memory: &RunFolder,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, WarmError> {
        self.engine.start(id)?;
        let greeting = socket.greet(FIRST_WORD, is_over)?;
        let (making, idle) = (self.shelf.place("making", self.name), self.shelf.place("idle", self.name));
        let listener = listen(&making).map_err(failed(&making))?;
        let moved = private(&self.shelf.root.join("idle")).and_then(|()| fs::rename(&making, &idle));
        moved.map_err(failed(&idle))?;
        let mut taken_at = None;
        loop {
            if readable(listener.as_fd()).map_err(failed(&idle))? {
                return Ok(self.hand_over(&listener, &Handed::new(id, memory, &greeting), &greeting));
            }
            // The init says nothing by itself: what can be read is its end.
            if readable(greeting.as_fd()).map_err(failed(&idle))? {
                return Err(LinkError::Closed.into());
            }
            if is_over() && fs::rename(&idle, &making).is_ok() {
                return Ok(false);
            }
            // Whoever has taken it comes at once, or has died.
            if !idle.exists() && taken_at.get_or_insert_with(Instant::now).elapsed() > HANDOVER {
                return Ok(false);
            }
        }
    }

    fn hand_over(&self, listener: &UnixListener, handed: &Handed, greeting: &Greeting) -> bool {
        match handover::give(listener, handed, greeting.as_fd(), HANDOVER) {
            Ok(()) => true,
            Err(error) => {
                debug!(%error, name = self.name, "whoever took the container did not want it");
                false
            }
        }
    }
}

fn move_in(
    taken: &Path,
    mark: &str,
    attempt_dir: &Path,
    engine: &Engine,
) -> Result<Taken, Box<dyn std::error::Error + Send + Sync>> {
    let (mut giver, handed, stream) = handover::receive(&File::open(taken)?, HOLDER, HANDOVER)?;
    let link = InitLink::resume(stream, handed.hello.clone())?;
    // From here on whoever looks for the attempt's containers finds it.
    engine.rename(&handed.container, &taken_name(mark))?;
    let folder = RunFolder::adopt(&handed.folder, mark, RUN_FOLDER)?;
    let room = attempt_dir.join(ROOM);
    remove(&room);
    fs::rename(taken.join(ROOM), &room)?;
    let inner = room.join(attempt_dir.file_name().unwrap_or_default());
    open_folder(&inner)?;
    // By its own path on this machine it is found in the container, too.
    symlink("..", inner.join(ROOM))?;
    let work = attempt_dir.join("work");
    fs::rename(&work, inner.join("work"))?;
    let link_to = Path::new(ROOM).join(attempt_dir.file_name().unwrap_or_default()).join("work");
    if let Err(error) = symlink(link_to, &work) {
        fs::rename(inner.join("work"), &work)?;
        return Err(error.into());
    }
    handover::accept(&mut giver)?;
    Ok(Taken { id: handed.container, link, folder })
}

/// Listens in a folder, whatever the length of its path.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let open = File::open(folder)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{HOLDER}", open.as_raw_fd()))
}

fn private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A folder for everybody who gets there.
fn open_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %path.display(), %error, "cannot remove what was kept for a container");
        }
        Ok(()) | Err(_) => {}
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> WarmError + use<> {
    let path = path.to_owned();
    move |source| WarmError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_was_taken_is_the_attempts() {
        let names = ["hostler.t.1.1".to_owned()];
        assert_eq!(owner("warm.k.7", &names), "t.1.1");
        assert_eq!(owner("warm.k.7", &["other".to_owned()]), "warm.k.7");
        assert_eq!(owner("t.2.1", &names), "t.2.1", "a task may name its container as it likes");
        assert_eq!(taken_name("t.1.1"), names[0]);
    }

    #[test]
    fn what_was_wanted_last_comes_first_and_is_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = WarmShelf::new(folder.path().join("warm"));
        assert!(shelf.wanted().is_empty());
        let template = |image: &str| WarmTemplate {
            socket: "/s".into(),
            container: NewContainer { image: image.to_owned(), ..NewContainer::default() },
            attempts: "/a".into(),
        };
        let (one, other) = (template("one"), template("other"));
        for wanted in [&one, &other, &one] {
            shelf.want(wanted).unwrap();
            // Clocks of file systems are coarse.
            let file = File::options().append(true).open(shelf.wanted_file(&wanted.key().unwrap())).unwrap();
            let age = Duration::from_secs(if wanted == &one { 1 } else { 5 });
            file.set_modified(SystemTime::now() - age).unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0);
        }
        assert_eq!(shelf.wanted(), [one.key().unwrap(), other.key().unwrap()]);
        assert_eq!(shelf.template(&one.key().unwrap()).unwrap(), one);
        shelf.forget(&one.key().unwrap());
        assert_eq!(shelf.wanted(), [other.key().unwrap()]);
    }
}
