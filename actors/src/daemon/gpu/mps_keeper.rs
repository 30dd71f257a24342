//! Keeps the control daemons of MPS: one for each card that somebody has an MPS share of, and for no other.
//!
//! It starts with the first who has a share and ends with the last. When it dies, what ran through it cannot go on: these
//! tasks are stopped, and whoever comes next has another one started. A control daemon outlives this daemon, as tasks do,
//! and the next daemon finds it again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use actix::prelude::*;
use drivers::mps::{MpsControl, MpsRecord};
use drivers::process::exited;
use protocols::gpu::{GpuCard, GpuStop, GpuTrouble};
use protocols::ids::{GpuId, ProcessId, TaskId};
use protocols::lifecycle::StopReason;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::daemon::child::Child;
use crate::daemon::settings::{DaemonSettings, MpsProgram};
use crate::daemon::task_manager::StopOne;
use crate::kit::{Lifeline, Port};

/// A task is about to run with an MPS share of a card. Answered when programs may come; `Err` says why they cannot.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), String>")]
pub(crate) struct HoldMps {
    pub(crate) task: TaskId,
    pub(crate) card: GpuCard,
}

/// Nothing of a task runs any more.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct LeaveMps {
    pub(crate) task: TaskId,
}

/// What an earlier daemon left.
#[derive(Clone, Debug, Default)]
pub(crate) struct MpsBefore {
    /// The control daemons that it started.
    pub(crate) records: Vec<MpsRecord>,
    /// The tasks that have a share of a card.
    pub(crate) holders: Vec<(TaskId, GpuCard)>,
}

/// How it is with the control daemon of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    Off,
    /// Something is being done about it.
    Busy,
    /// It serves.
    On(ProcessId),
}

type Answer = oneshot::Sender<Result<(), String>>;

struct Kept {
    card: GpuCard,
    state: State,
    holders: BTreeSet<TaskId>,
    /// Who waits until it serves.
    waiting: Vec<Answer>,
}

pub(crate) struct MpsKeeper {
    program: MpsProgram,
    root: PathBuf,
    cards: BTreeMap<GpuId, Kept>,
    before: MpsBefore,
    stop: Port<StopOne>,
    _lifeline: Lifeline<Child>,
}

impl MpsKeeper {
    pub(crate) fn new(
        settings: &DaemonSettings,
        before: MpsBefore,
        stop: Port<StopOne>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        let (program, root) = (settings.mps.clone(), settings.mps_root());
        Self { program, root, cards: BTreeMap::new(), before, stop, _lifeline: lifeline }
    }

    fn kept(&mut self, card: &GpuCard) -> &mut Kept {
        self.cards.entry(card.id.clone()).or_insert_with(|| Kept {
            card: card.clone(),
            state: State::Off,
            holders: BTreeSet::new(),
            waiting: Vec::new(),
        })
    }

    fn control(&self, card: &GpuCard) -> Result<MpsControl, String> {
        match &self.program {
            MpsProgram::At(program) => Ok(MpsControl::new(program, &self.root, card)),
            MpsProgram::Rehearsed => Err("simulated cards have no MPS".to_owned()),
            MpsProgram::Missing => Err(MpsProgram::MISSING.to_owned()),
        }
    }

    /// Does what is due for a card, one thing at a time.
    fn advance(&mut self, gpu: &GpuId, ctx: &mut Context<Self>) {
        let Some(kept) = self.cards.get_mut(gpu) else { return };
        match (kept.state, kept.holders.is_empty()) {
            (State::Busy, _) => {}
            (State::Off, true) => {
                self.cards.remove(gpu);
            }
            (State::Off, false) if kept.waiting.is_empty() => {}
            (State::Off, false) => self.start(gpu, ctx),
            (State::On(_), false) => {
                for answer in kept.waiting.drain(..) {
                    // Whoever does not wait any more holds it all the same.
                    let _ = answer.send(Ok(()));
                }
            }
            (State::On(process), true) => self.end(gpu, process, ctx),
        }
    }

    fn start(&mut self, gpu: &GpuId, ctx: &mut Context<Self>) {
        let Some(kept) = self.cards.get_mut(gpu) else { return };
        kept.state = State::Busy;
        let card = kept.card.clone();
        let control = self.control(&card);
        let starting = async move {
            let control = control?;
            control.start().await.map_err(|error| {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                format!("{error}{}", source.unwrap_or_default())
            })
        };
        ctx.spawn(starting.into_actor(self).map(move |started, this, ctx| this.started_one(&card, started, ctx)));
    }

    fn started_one(&mut self, card: &GpuCard, started: Result<ProcessId, String>, ctx: &mut Context<Self>) {
        let kept = self.kept(card);
        match started {
            Ok(process) => {
                info!(gpu = %card.id, pid = process.pid, "MPS serves a GPU");
                self.watch(card, process, ctx);
            }
            Err(why) => {
                error!(gpu = %card.id, why, "MPS cannot serve a GPU");
                kept.state = State::Off;
                for answer in kept.waiting.drain(..) {
                    let _ = answer.send(Err(why.clone()));
                }
            }
        }
        self.advance(&card.id, ctx);
    }

    /// Takes one over that serves.
    fn watch(&mut self, card: &GpuCard, process: ProcessId, ctx: &mut Context<Self>) {
        self.kept(card).state = State::On(process);
        let card = card.clone();
        let gone = exited(process);
        ctx.spawn(gone.into_actor(self).map(move |(), this, ctx| this.gone(&card, process, ctx)));
    }

    /// It is dead. While it is being ended on purpose that is no news.
    fn gone(&mut self, card: &GpuCard, process: ProcessId, ctx: &mut Context<Self>) {
        if self.kept(card).state == State::On(process) {
            warn!(gpu = %card.id, pid = process.pid, "the MPS control daemon of a GPU is gone");
            self.lose(card, ctx);
        }
        self.advance(&card.id, ctx);
    }

    /// Stops everything that ran through a control daemon that is gone, and clears away what it left.
    fn lose(&mut self, card: &GpuCard, ctx: &mut Context<Self>) {
        let stop = GpuStop { index: card.index, trouble: GpuTrouble::MpsLost };
        let kept = self.kept(card);
        kept.state = State::Busy;
        let holders = kept.holders.clone();
        for task in holders {
            self.stop.tell(StopOne { task, reason: StopReason::Gpu(stop) });
        }
        let control = self.control(card);
        let clearing = async move {
            if let Ok(control) = control {
                control.clear().await;
            }
        };
        self.off_after(clearing, card, ctx);
    }

    fn end(&mut self, gpu: &GpuId, process: ProcessId, ctx: &mut Context<Self>) {
        let Some(kept) = self.cards.get_mut(gpu) else { return };
        kept.state = State::Busy;
        let card = kept.card.clone();
        let control = self.control(&card);
        info!(gpu = %card.id, pid = process.pid, "nobody has an MPS share any more: its control daemon ends");
        let ending = async move {
            match control {
                Ok(control) => control.quit(process).await,
                Err(why) => warn!(pid = process.pid, why, "an MPS control daemon is left as it is"),
            }
        };
        self.off_after(ending, &card, ctx);
    }

    fn off_after(&mut self, work: impl Future<Output = ()> + 'static, card: &GpuCard, ctx: &mut Context<Self>) {
        let card = card.clone();
        ctx.spawn(work.into_actor(self).map(move |(), this, ctx| {
            this.kept(&card).state = State::Off;
            this.advance(&card.id, ctx);
        }));
    }

    /// Finds again what an earlier daemon started: what still serves somebody goes on, the rest ends.
    fn recover(&mut self, ctx: &mut Context<Self>) {
        let MpsBefore { records, holders } = std::mem::take(&mut self.before);
        if self.program == MpsProgram::Rehearsed {
            return;
        }
        for (task, card) in holders {
            self.kept(&card).holders.insert(task);
        }
        let mut unknown: BTreeSet<GpuId> = self.cards.keys().cloned().collect();
        for MpsRecord { card, process } in records {
            unknown.remove(&card.id);
            self.kept(&card).state = State::Busy;
            let control = self.control(&card);
            let looking = async move {
                match control {
                    Ok(control) => control.is_well(process).await,
                    Err(_) => drivers::process::is_alive(process),
                }
            };
            ctx.spawn(looking.into_actor(self).map(move |is_well, this, ctx| {
                if is_well {
                    info!(gpu = %card.id, pid = process.pid, "MPS still serves a GPU");
                    this.watch(&card, process, ctx);
                } else {
                    this.lose(&card, ctx);
                }
                this.advance(&card.id, ctx);
            }));
        }
        let lost: Vec<GpuCard> = unknown.iter().filter_map(|gpu| Some(self.cards.get(gpu)?.card.clone())).collect();
        for card in lost {
            self.lose(&card, ctx);
        }
    }
}

impl Actor for MpsKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.recover(ctx);
    }
}

impl Handler<HoldMps> for MpsKeeper {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, message: HoldMps, ctx: &mut Self::Context) -> Self::Result {
        if self.program == MpsProgram::Rehearsed {
            return Box::pin(std::future::ready(Ok(())));
        }
        let (answer, answered) = oneshot::channel();
        let kept = self.kept(&message.card);
        kept.holders.insert(message.task);
        kept.waiting.push(answer);
        self.advance(&message.card.id, ctx);
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err("the daemon is on its way out".to_owned())) })
    }
}

impl Handler<LeaveMps> for MpsKeeper {
    type Result = ();

    fn handle(&mut self, message: LeaveMps, ctx: &mut Self::Context) {
        let left =
            self.cards.iter_mut().filter_map(|(gpu, kept)| kept.holders.remove(&message.task).then(|| gpu.clone()));
        for gpu in left.collect::<Vec<_>>() {
            self.advance(&gpu, ctx);
        }
    }
}
