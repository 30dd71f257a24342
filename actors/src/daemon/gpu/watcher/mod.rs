//! Watches the cards: what is wrong with them, who else uses them, how much of them each task uses.
//!
//! Looking takes place on a thread of its own, because a sick card answers late or not at all. What is seen is judged
//! here, and told: the partitioner which cards get no task, the task manager which tasks cannot go on.

mod eyes;
mod file;
mod foreign;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use drivers::clock::Clock;
use drivers::nvml::{CardEvent, CardEventKind, CardLook, CardTrouble};
use protocols::gpu::{
    Answer, GpuCard, GpuStop, GpuTrouble, Health, HealthChange, Observation, Quarantine, Xid, is_application_xid,
};
use protocols::ids::GpuId;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

pub(crate) use self::file::QuarantineFile;
use self::foreign::Strangers;
use crate::daemon::child::Child;
use crate::daemon::gpu::board::GpuBoard;
use crate::daemon::gpu::partitioner::SetOutOfUse;
use crate::daemon::settings::{DaemonSettings, ForeignPolicy};
use crate::daemon::task_manager::GpuNews;
use crate::kit::{Lifeline, tell};

/// A driver that has not answered for so long is worth a word.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the thread tells.
#[derive(Debug)]
pub(super) enum News {
    /// What happened, and how the cards are.
    Looked { events: Vec<CardEvent>, looks: Vec<CardLook> },
    /// The driver cannot be asked; it will be tried again.
    Blind(String),
}

/// Whom the watcher tells.
#[derive(Clone)]
pub(crate) struct GpuWatcherTools {
    pub(crate) settings: Arc<DaemonSettings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) board: GpuBoard,
    pub(crate) partitioner: Recipient<SetOutOfUse>,
    pub(crate) tasks: Recipient<GpuNews>,
}

pub(crate) struct GpuWatcher {
    tools: GpuWatcherTools,
    health: Health,
    strangers: Strangers,
    /// What can be leased of each card: the card, and its instances.
    devices: BTreeMap<GpuId, BTreeSet<GpuId>>,
    /// What the partitioner was told last.
    out_of_use: Option<BTreeMap<GpuId, String>>,
    answered: Instant,
    is_late: bool,
    _lifeline: Lifeline<Child>,
}

impl GpuWatcher {
    pub(crate) fn new(tools: GpuWatcherTools, quarantined: Vec<Quarantine>, lifeline: Lifeline<Child>) -> Self {
        let probation = i64::try_from(tools.settings.gpus.probation.as_millis()).unwrap_or(i64::MAX);
        let mut devices: BTreeMap<GpuId, BTreeSet<GpuId>> = BTreeMap::new();
        for card in tools.settings.cards() {
            devices.entry(card.id.clone()).or_default().insert(card.id.clone());
        }
        Self {
            strangers: Strangers::new(tools.settings.gpus.foreign),
            tools,
            health: Health::new(probation, quarantined),
            devices,
            out_of_use: None,
            answered: Instant::now(),
            is_late: false,
            _lifeline: lifeline,
        }
    }

    fn events(&mut self, events: &[CardEvent], looks: &[CardLook], now_ms: i64) -> Vec<HealthChange> {
        let mut changes = Vec::new();
        for event in events {
            let Some(look) = looks.iter().find(|look| look.card.id == event.card) else { continue };
            let device = device_of(event, look);
            let (index, gpu) = (look.card.index, look.card.id.clone());
            let trouble = match event.kind {
                CardEventKind::Xid(xid) if is_application_xid(xid) => {
                    let line = format!("GPU {index}: the driver reports {}: an error of the program", Xid(xid));
                    warn!(gpu = %gpu, xid, "an error of a program");
                    self.tell(GpuNews::Blamed { devices: self.covered(&device, index), line });
                    continue;
                }
                CardEventKind::Xid(xid) => GpuTrouble::Xid(xid),
                CardEventKind::UncorrectedEcc => GpuTrouble::UncorrectedEcc,
            };
            changes.extend(self.health.complain(&device, &look.card.id, index, trouble, now_ms));
        }
        changes
    }

    /// Everything that can be leased of a device: of an instance itself, of a card its instances too.
    fn covered(&self, device: &GpuId, index: u32) -> BTreeSet<GpuId> {
        let mut covered = BTreeSet::from([device.clone()]);
        if !device.as_str().starts_with("MIG-") {
            covered.extend(self.devices.get(device).into_iter().flatten().cloned());
            // Instances of a card that never answered are known from the configuration alone.
            let configured = self.tools.settings.cards();
            covered.extend(configured.into_iter().filter(|card| card.index == index).map(|card| card.id));
        }
        covered
    }

    fn remember_devices(&mut self, looks: &[CardLook]) {
        for look in looks {
            if let Ok(state) = &look.state {
                let instances = state.instances.iter().map(|instance| instance.instance.id.clone());
                self.devices
                    .insert(look.card.id.clone(), std::iter::once(look.card.id.clone()).chain(instances).collect());
            }
        }
    }

    fn looked(&mut self, events: &[CardEvent], looks: &[CardLook], ctx: &mut Context<Self>) {
        self.answered = Instant::now();
        if std::mem::take(&mut self.is_late) {
            info!("the NVIDIA driver answers again");
        }
        let now_ms = self.tools.clock.now_ms();
        self.remember_devices(looks);
        let mut changes = self.events(events, looks, now_ms);
        for look in looks {
            changes.extend(self.health.observe(&observation(look), now_ms));
        }
        self.strangers.look(looks);
        let devices = usage::of_devices(looks);
        self.tools.board.set_devices(devices.clone());
        self.tell(GpuNews::Used(devices));
        self.act(&changes, ctx);
    }

    /// Writes down, then takes out of use, then stops what cannot go on.
    fn act(&mut self, changes: &[HealthChange], ctx: &mut Context<Self>) {
        for change in changes {
            match change {
                HealthChange::Quarantined(Quarantine { gpu, index, trouble, .. }) => {
                    error!(%gpu, index, why = %trouble, "a GPU is quarantined");
                }
                HealthChange::CameBack(Quarantine { gpu, index, trouble, .. }) => {
                    info!(%gpu, index, was = %trouble, "a GPU passed its probe and is back");
                }
            }
        }
        if changes.is_empty() {
            return self.tell_all();
        }
        let file = QuarantineFile::of(&self.tools.settings.state_dir);
        let quarantined: Vec<Quarantine> = self.health.quarantined().cloned().collect();
        let writing = tokio::task::spawn_blocking(move || file.write(&quarantined));
        // What is seen meanwhile waits: one list is written after the other, and the last is the newest.
        ctx.wait(writing.into_actor(self).map(|written, this, _| {
            if let Ok(Err(error)) = written {
                warn!(%error, "cannot write down which GPUs are quarantined: the next daemon will not know");
            }
            this.tell_all();
        }));
    }

    fn tell_all(&mut self) {
        let mut out_of_use = self.strangers.out_of_use();
        for quarantine in self.health.quarantined() {
            for device in self.covered(&quarantine.gpu, quarantine.index) {
                out_of_use.insert(device, format!("quarantined: {}", quarantine.trouble));
            }
        }
        if self.out_of_use.as_ref() != Some(&out_of_use) {
            tell(&self.tools.partitioner, SetOutOfUse { cards: out_of_use.clone() });
            self.tools.board.set_out_of_use(&out_of_use);
            self.out_of_use = Some(out_of_use);
        }
        // Again with every look: a task that was on its way when its card failed is not forgotten.
        for quarantine in self.health.quarantined().filter(|quarantine| quarantine.trouble.ends_tasks()) {
            let stop = GpuStop { index: quarantine.index, trouble: quarantine.trouble };
            self.tell(GpuNews::Broken { devices: self.covered(&quarantine.gpu, quarantine.index), stop });
        }
    }

    fn tell(&self, news: GpuNews) {
        tell(&self.tools.tasks, news);
    }

    fn is_there(&mut self) {
        if self.answered.elapsed() > PATIENCE && !std::mem::replace(&mut self.is_late, true) {
            warn!("the NVIDIA driver does not answer; what is known of the cards is old");
        }
    }
}

/// The devices that get no task before anybody has looked.
pub(crate) fn out_of_use_at_start(settings: &DaemonSettings, quarantined: &[Quarantine]) -> BTreeMap<GpuId, String> {
    let cards = settings.cards();
    let mut out_of_use = BTreeMap::new();
    if settings.gpus.foreign == ForeignPolicy::Wait && settings.watches_gpus() {
        let unseen = cards.iter().map(|card| (card.id.clone(), "nobody has looked yet who uses it".to_owned()));
        out_of_use.extend(unseen);
    }
    for quarantine in quarantined {
        let is_of = |card: &&GpuCard| card.id == quarantine.gpu || card.index == quarantine.index;
        for card in cards.iter().filter(is_of) {
            out_of_use.insert(card.id.clone(), format!("quarantined: {}", quarantine.trouble));
        }
    }
    out_of_use
}

/// What an event is about: the instance where it says so and that is known, else the card.
fn device_of(event: &CardEvent, look: &CardLook) -> GpuId {
    let instances = look.state.iter().flat_map(|state| &state.instances);
    let instance = event.gpu_instance.and_then(|number| {
        instances.clone().find(|instance| instance.gpu_instance == Some(number)).map(|found| found.instance.id.clone())
    });
    instance.unwrap_or_else(|| look.card.id.clone())
}

fn observation(look: &CardLook) -> Observation {
    let answer = match &look.state {
        Err(CardTrouble::Lost(_)) => Answer::Lost,
        Err(CardTrouble::Silent(why)) => {
            debug!(gpu = %look.card.id, why, "a GPU does not answer");
            Answer::Silent
        }
        Ok(state) => Answer::Well {
            ecc_errors: state.uncorrected_ecc,
            rows_pending: state.rows.is_some_and(|rows| rows.is_pending),
            rows_failed: state.rows.is_some_and(|rows| rows.has_failed),
        },
    };
    Observation { card: look.card.id.clone(), index: look.card.index, answer }
}

impl Actor for GpuWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let news = eyes::open(&self.tools.settings);
        ctx.add_stream(futures::stream::unfold(news, |mut news| async move { Some((news.recv().await?, news)) }));
        ctx.run_interval(PATIENCE / 2, |this, _| this.is_there());
    }
}

impl StreamHandler<News> for GpuWatcher {
    fn handle(&mut self, news: News, ctx: &mut Self::Context) {
        match news {
            News::Looked { events, looks } => self.looked(&events, &looks, ctx),
            News::Blind(why) => {
                warn!(why, "the GPUs cannot be watched: errors, memory and foreign programs are not seen");
                self.answered = Instant::now();
                self.tell_all();
            }
        }
    }

    /// The thread is gone: another incarnation starts another one.
    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
