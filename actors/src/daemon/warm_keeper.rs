//! Keeps containers that idle, for tasks to come: as many as the operator wants, of what tasks had last.
//!
//! It decides how many of what there are to be, and a process of its own keeps each. Whoever runs a task takes one by
//! itself and asks nobody, and says what it wanted where there was none. So nothing here holds up a task, and nothing is
//! lost with this actor: keepers end with the daemon, and their containers with them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::container::{self, WarmShelf, warm_mark};
use drivers::process::{self, Signal};
use protocols::ids::ProcessId;
use tokio::sync::watch;
use tracing::{debug, info};

use super::child::Child;
use super::settings::DaemonSettings;
use crate::kit::{Lifeline, blocking};

/// How often it is looked what is wanted, and what is there.
const LOOK: Duration = Duration::from_millis(500);

/// Keeps nothing from now on. Answered when no keeper lives.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct StopWarming;

/// A keeper has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct KeeperEnded(i32);

struct Keeper {
    key: String,
    process: ProcessId,
    is_told_to_end: bool,
}

pub(crate) struct WarmKeeper {
    settings: Arc<DaemonSettings>,
    shelf: WarmShelf,
    keepers: BTreeMap<i32, Keeper>,
    /// Of how many that have ended it is still cleared away what they kept.
    clearing: usize,
    is_starting: bool,
    is_wanted: bool,
    living: watch::Sender<usize>,
    _lifeline: Lifeline<Child>,
}

impl WarmKeeper {
    pub(crate) fn new(settings: Arc<DaemonSettings>, lifeline: Lifeline<Child>) -> Self {
        let shelf = WarmShelf::new(settings.warm_dir());
        Self {
            settings,
            shelf,
            keepers: BTreeMap::new(),
            clearing: 0,
            is_starting: false,
            is_wanted: true,
            living: watch::channel(0).0,
            _lifeline: lifeline,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let shelf = self.shelf.clone();
        let wanted = async move { blocking(move || shelf.wanted()).await };
        ctx.spawn(wanted.into_actor(self).map(|wanted, this, ctx| this.adjust(&wanted, ctx)));
    }

    /// One change at a time: a machine that starts many containers at once starts none of them soon.
    fn adjust(&mut self, wanted: &[String], ctx: &mut Context<Self>) {
        if !self.is_wanted || self.is_starting {
            return;
        }
        let plan = plan(wanted, self.settings.warm_containers);
        let mut there: BTreeMap<&str, usize> = BTreeMap::new();
        for keeper in self.keepers.values_mut().filter(|keeper| !keeper.is_told_to_end) {
            let count = there.entry(keeper.key.as_str()).or_default();
            *count += 1;
            if *count > plan.get(keeper.key.as_str()).copied().unwrap_or(0) {
                end(keeper.process);
                keeper.is_told_to_end = true;
            }
        }
        let missing = wanted
            .iter()
            .find(|key| there.get(key.as_str()).copied().unwrap_or(0) < plan.get(key.as_str()).copied().unwrap_or(0));
        if let Some(key) = missing.cloned() {
            self.start(key, ctx);
        }
    }

    fn start(&mut self, key: String, ctx: &mut Context<Self>) {
        self.is_starting = true;
        let settings = Arc::clone(&self.settings);
        let name = key.clone();
        let starting = async move { blocking(move || spawn(&settings, &name)).await };
        ctx.spawn(starting.into_actor(self).map(move |started, this, ctx| {
            this.is_starting = false;
            match started {
                Ok(process) => this.watch(Keeper { key, process, is_told_to_end: false }, ctx),
                Err(error) => debug!(%error, "no container idles"),
            }
        }));
    }

    fn watch(&mut self, keeper: Keeper, ctx: &mut Context<Self>) {
        let process = keeper.process;
        if !self.is_wanted {
            end(process);
        }
        self.keepers.insert(process.pid, keeper);
        self.say_living();
        let ended = async move { process::exited(process).await };
        ctx.spawn(ended.into_actor(self).map(move |(), _, ctx| ctx.notify(KeeperEnded(process.pid))));
    }
}

impl WarmKeeper {
    /// Whoever waits for the end of all also waits for what is cleared away after them: without this process's runtime
    /// nobody talks to the engine.
    fn say_living(&self) {
        self.living.send_replace(self.keepers.len() + self.clearing);
    }
}

/// How many of each there are to be: those that were wanted last get one each, then another one, and so on.
fn plan(wanted: &[String], count: usize) -> BTreeMap<&str, usize> {
    let mut plan = BTreeMap::new();
    for key in wanted.iter().cycle().take(if wanted.is_empty() { 0 } else { count }) {
        *plan.entry(key.as_str()).or_default() += 1;
    }
    plan
}

fn end(process: ProcessId) {
    if let Err(error) = process::signal(process, Signal::TERM) {
        debug!(%error, "is not told to end");
    }
}

fn spawn(settings: &DaemonSettings, key: &str) -> Result<ProcessId, process::SpawnError> {
    let arguments: [OsString; 7] = [
        "executor".into(),
        "--attempt-dir".into(),
        settings.warm_dir().into(),
        "--warm".into(),
        key.into(),
        "--for-daemon".into(),
        std::process::id().to_string().into(),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (program, arguments) = process::giving_way(&settings.program, arguments, &path);
    process::spawn_executor(&program, arguments, "warm", b"", &settings.warm_dir().join("keepers.log"))
}

impl Actor for WarmKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        info!(count = self.settings.warm_containers, "keeping containers warm of what tasks had last");
        ctx.run_interval(LOOK, Self::look);
    }
}

impl Handler<KeeperEnded> for WarmKeeper {
    type Result = ();

    fn handle(&mut self, KeeperEnded(pid): KeeperEnded, ctx: &mut Self::Context) {
        let Some(host) = self.settings.containers.clone() else { return };
        let Some(keeper) = self.keepers.remove(&pid) else { return };
        self.clearing += 1;
        let shelf = self.shelf.clone();
        // One that was killed leaves what it kept. One that could not keep what it was to keep does not try again:
        // the next task says anew what it wants.
        let clearing = async move {
            blocking(move || {
                container::fence(&host.socket, &warm_mark(&keeper.key, pid), host.engine_patience);
                if shelf.has_failed(&keeper.key, pid) {
                    shelf.forget(&keeper.key);
                }
            })
            .await;
        };
        ctx.spawn(clearing.into_actor(self).map(|(), this, _| {
            this.clearing -= 1;
            this.say_living();
        }));
    }
}

impl Handler<StopWarming> for WarmKeeper {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopWarming, _: &mut Self::Context) -> Self::Result {
        self.is_wanted = false;
        self.keepers.values().for_each(|keeper| end(keeper.process));
        let mut living = self.living.subscribe();
        Box::pin(async move {
            let _ = living.wait_for(|living| *living == 0).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wanted_last_has_the_most() {
        let wanted = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let planned = |count| plan(&wanted, count).into_iter().collect::<Vec<_>>();
        assert_eq!(planned(0), []);
        assert_eq!(planned(2), [("a", 1), ("b", 1)]);
        assert_eq!(planned(4), [("a", 2), ("b", 1), ("c", 1)]);
        assert!(plan(&[], 3).is_empty());
    }
}
