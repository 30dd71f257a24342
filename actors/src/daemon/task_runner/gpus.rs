//! The runner's side of its GPUs: how much the task uses, and whether it may.

use actix::prelude::*;
use protocols::gpu::{GpuStop, GpuTrouble};
use protocols::lifecycle::{StopReason, TaskState};
use tokio::time::Instant;
use tracing::warn;

use super::{StopTask, TaskRunner};
use crate::daemon::gpu_usage::{GpuUse, Usage};
use crate::daemon::reporter::ReportItem;

const BYTES_PER_MIB: u64 = 1 << 20;

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
}

impl TaskRunner {
    /// What was seen of the task's use of its cards, once it has ended.
    pub(super) fn report_peaks(&self) {
        let peaks = self.gpus.usage.peaks();
        if !peaks.is_empty() {
            self.report(ReportItem::GpuPeaks(peaks.clone()));
        }
    }

    /// A share of a card has a budget of its memory, which nothing enforces but this: a warning, then the end.
    fn watch_memory(&mut self, used: &[GpuUse], ctx: &mut Context<Self>) {
        if self.run.share.is_whole() || !matches!(self.run.state, TaskState::Starting(_) | TaskState::Running(_)) {
            return;
        }
        let over = used.iter().find_map(|used| {
            let card = self.run.gpus.iter().find(|card| card.id == used.gpu)?;
            let budget = self.run.share.of(card.memory_bytes);
            (budget > 0 && used.memory_bytes > budget).then_some((used, budget))
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
        let window = self.tools.settings.gpus.scalars_interval;
        if let Some(scalars) = self.gpus.usage.note(&message.0, window) {
            self.report(ReportItem::GpuScalars(scalars));
        }
        self.watch_memory(&message.0, ctx);
    }
}

impl Handler<BlameTask> for TaskRunner {
    type Result = ();

    fn handle(&mut self, message: BlameTask, _: &mut Self::Context) {
        self.report(ReportItem::Blame(message.line));
    }
}
