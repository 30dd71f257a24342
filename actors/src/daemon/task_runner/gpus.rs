//! The runner's side of its GPUs: how much the task uses, and whether it may.

use std::collections::BTreeMap;

use actix::prelude::*;
use protocols::gpu::{GpuStop, GpuTrouble};
use protocols::ids::AttemptId;
use protocols::lifecycle::{StopReason, TaskState};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{StopTask, TaskRunner};
use crate::daemon::gpu::usage::{GpuPeak, GpuUse, Usage};
use crate::daemon::reporter::ReportItem;

const BYTES_PER_MIB: u64 = 1 << 20;

/// What a program may hold beside its MPS share: contexts, and code.
const MPS_TOLERANCE: u64 = 2 << 30;

/// How the task uses its cards at the moment.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct UseOfGpus(pub(crate) Vec<GpuUse>);

/// Something that the task's program did to a card.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) struct BlameTask {
    pub(crate) line: String,
}

/// What the runner remembers of its cards.
#[derive(Debug, Default)]
pub(super) struct Gpus {
    /// Since when the task uses more memory than it may.
    over_since: Option<Instant>,
    usage: Usage,
    /// The peaks that are on disk, or on their way there.
    kept: BTreeMap<u32, GpuPeak>,
    is_writing: bool,
}

impl TaskRunner {
    /// Goes on from the peaks that an earlier daemon, or an earlier incarnation of this actor, wrote down.
    pub(super) fn resume_peaks(&mut self, attempt: AttemptId) {
        self.gpus.kept = self.attempt_dir(attempt).read_peaks();
        self.gpus.usage.resume(self.gpus.kept.clone());
    }

    /// Writes peaks down that have risen; what rises meanwhile is written with the next look.
    fn keep_peaks(&mut self, ctx: &mut Context<Self>) {
        let Some(attempt) = self.attempt() else { return };
        if self.gpus.is_writing || self.gpus.kept == *self.gpus.usage.peaks() {
            return;
        }
        self.gpus.is_writing = true;
        self.gpus.kept.clone_from(self.gpus.usage.peaks());
        let (directory, peaks) = (self.attempt_dir(attempt), self.gpus.kept.clone());
        let writing = tokio::task::spawn_blocking(move || directory.write_peaks(&peaks));
        ctx.spawn(writing.into_actor(self).map(|written, this, _| {
            this.gpus.is_writing = false;
            if let Ok(Err(error)) = written {
                debug!(task = %this.task, %error, "what was used of GPUs is not written down");
            }
        }));
    }

    /// What was seen of the task's use of its cards, once it has ended.
    pub(super) fn report_peaks(&self) {
        let peaks = self.gpus.usage.peaks();
        if !peaks.is_empty() {
            self.report(ReportItem::GpuPeaks(peaks.clone()));
        }
    }

    /// A share of a card has a budget of its memory, which nothing enforces but this: a warning, then the end.
    fn watch_memory(&mut self, used: &[GpuUse], ctx: &mut Context<Self>) {
        if self.run.share.is_whole() || !matches!(self.run.state, TaskState::Running(_)) {
            return;
        }
        let over = used.iter().find_map(|used| {
            let card = self.run.gpus.iter().find(|card| card.id == used.gpu)?;
            let budget = self.run.share.of(card.memory_bytes);
            // The driver enforces an MPS share itself, and does not count all that it tells of: whoever has that much
            // more has put off his limit.
            let tolerated = if self.run.share.is_mps() { budget.saturating_add(MPS_TOLERANCE) } else { budget };
            (budget > 0 && used.memory_bytes > tolerated).then_some((used, budget))
        });
        let Some((used, budget)) = over else {
            self.gpus.over_since = None;
            return;
        };
        let (used_mib, budget_mib) = (used.memory_bytes / BYTES_PER_MIB, budget / BYTES_PER_MIB);
        let stop = GpuStop { index: used.index, trouble: GpuTrouble::OverBudget { used_mib, budget_mib } };
        let grace = self.tools.settings.gpus.memory_grace;
        match self.gpus.over_since {
            None => {
                warn!(task = %self.task, why = %stop, "uses more of a shared GPU than its part");
                self.gpus.over_since = Some(Instant::now());
                let seconds = grace.as_secs();
                self.report(ReportItem::Note(format!(
                    "{stop}; it is stopped unless it frees memory within {seconds} s"
                )));
            }
            Some(since) if since.elapsed() >= grace => {
                self.stop(StopTask { reason: StopReason::Gpu(stop), now: false }, ctx);
            }
            Some(_) => {}
        }
    }
}

impl Handler<UseOfGpus> for TaskRunner {
    type Result = ();

    fn handle(&mut self, message: UseOfGpus, ctx: &mut Self::Context) {
        // Before its program runs, what its cards do is not the task's doing.
        if !matches!(self.run.state, TaskState::Running(_) | TaskState::Stopping(..)) {
            return;
        }
        let window = self.tools.settings.gpus.scalars_interval;
        if let Some(scalars) = self.gpus.usage.note(&message.0, window) {
            self.report(ReportItem::GpuScalars(scalars));
        }
        self.keep_peaks(ctx);
        self.watch_memory(&message.0, ctx);
    }
}

impl Handler<BlameTask> for TaskRunner {
    type Result = ();

    fn handle(&mut self, message: BlameTask, _: &mut Self::Context) {
        self.report(ReportItem::Blame(message.line));
    }
}
