//! The runner's side of its lane in the reporter.

use std::time::Duration;

use actix::prelude::*;
use protocols::lifecycle::{TaskEvent, TaskState};
use protocols::order::EnvironmentReport;

use super::{ReopenLane, RunFact, StopTask, TaskRunner};
use crate::daemon::attempt::Proof;
use crate::daemon::reporter::{LaneFact, OpenLane, Report, ReportItem};

/// Time before a lane that panicked is opened again.
const LANE_RESTART: Duration = Duration::from_secs(1);

impl TaskRunner {
    /// Opens the lane, and tells it what a run that is under way has reported already, or may have: every item may
    /// be repeated.
    pub(super) fn open_lane(&mut self, ctx: &mut Context<Self>) {
        let facts = ctx.address().recipient();
        self.tools.open_lane.tell(OpenLane {
            task: self.task.clone(),
            pull: self.run.pull,
            pulled_at_ms: self.run.pulled_at_ms,
            worker: self.run.worker.clone(),
            queue: self.tools.settings.queue_name(&self.run.queue).to_owned(),
            queue_id: self.run.queue.clone(),
            resumed: self.resumed,
            facts,
        });
        match self.run.state.clone() {
            TaskState::Pulled { .. } => {}
            TaskState::Preparing(attempt)
            | TaskState::Starting(attempt)
            | TaskState::Running(attempt)
            | TaskState::Stopping(attempt, _) => {
                self.report(ReportItem::Pulled);
                self.report(ReportItem::AttemptStarted(attempt));
                self.repeat_environment();
            }
            TaskState::Finished(outcome) => {
                self.report(ReportItem::AttemptStarted(self.last_attempt()));
                self.repeat_environment();
                self.resume_peaks(self.last_attempt());
                self.report_peaks();
                self.report(ReportItem::Finished(outcome));
            }
            TaskState::Settled(_) => {}
        }
    }

    /// The last attempt of a run that is over: the one whose folder is there.
    fn last_attempt(&self) -> protocols::ids::AttemptId {
        (1..=protocols::lifecycle::MAX_LOST_ATTEMPTS)
            .map(protocols::ids::AttemptId)
            .rfind(|attempt| self.attempt_dir(*attempt).path().exists())
            .unwrap_or(protocols::ids::AttemptId::FIRST)
    }

    /// What its container is goes to the server, before the program in it can ask for it.
    pub(super) fn report_container(&self) {
        if let Some(container) = &self.container {
            let (told, port_mapping) = (container.told.clone(), container.port_mapping.clone());
            if !(told.is_empty() && port_mapping.is_empty()) {
                self.report(ReportItem::Container { told, port_mapping });
            }
        }
    }

    fn repeat_environment(&mut self) {
        if self.environment.is_none() {
            let record = self.attempt_dir(self.attempt().unwrap_or_else(|| self.last_attempt())).read_record();
            if let Some(report) = Proof::of(&record).report {
                self.keep_environment(report);
                return;
            }
        }
        if let Some((report, requirements)) = self.environment.clone() {
            self.report(ReportItem::Environment(report, requirements));
        }
    }

    /// What preparation found out goes to the server, once it is known.
    pub(super) fn keep_environment(&mut self, report: EnvironmentReport) {
        if self.environment.is_some() {
            return;
        }
        if self.spec.is_none() {
            let attempt = self.attempt().unwrap_or_else(|| self.last_attempt());
            self.spec = self.attempt_dir(attempt).read_order().map(|order| Box::new(order.task));
        }
        let requirements = self.spec.as_ref().map(|spec| spec.requirements.clone()).unwrap_or_default();
        self.environment = Some((report.clone(), requirements.clone()));
        self.report(ReportItem::Environment(report, requirements));
    }

    pub(super) fn report(&self, item: ReportItem) {
        self.tools.report.tell(Report { task: self.task.clone(), item });
    }
}

impl Handler<LaneFact> for TaskRunner {
    type Result = ();

    fn handle(&mut self, message: LaneFact, ctx: &mut Self::Context) {
        match message {
            LaneFact::Started => self.tools.facts.tell(RunFact::Started(self.task.clone())),
            LaneFact::NotWanted(reason) => self.stop(StopTask { reason, now: false }, ctx),
            LaneFact::Settled => self.commit(vec![TaskEvent::Settled], None, ctx),
            LaneFact::Shipped(bytes) => {
                self.tools.board.update(&self.task, |snapshot| snapshot.shipped_bytes = bytes);
            }
            LaneFact::Broken => {
                tracing::error!(task = %self.task, "its lane panicked; opening another");
                ctx.run_later(LANE_RESTART, |this, ctx| {
                    this.resumed = true;
                    this.open_lane(ctx);
                });
            }
        }
    }
}

impl Handler<ReopenLane> for TaskRunner {
    type Result = ();

    fn handle(&mut self, _: ReopenLane, ctx: &mut Self::Context) {
        self.resumed = true;
        self.open_lane(ctx);
    }
}
