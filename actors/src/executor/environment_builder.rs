//! Preparation: runs the steps on a blocking thread, and stops them when asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::prelude::*;
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::order::ExecutorOrder;

use super::child::Child;
use super::console::Console;
use super::launch::Prepared;
use super::steps::{self, StepError};
use crate::kit::{Lifeline, tell};

/// Prepares the attempt. Sent once.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Prepare;

/// Ends the preparation soon: its child programs are killed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct StopPreparation;

/// How the preparation goes.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) enum PreparationNews {
    /// A phase began.
    PhaseStarted(Phase),
    /// Code and environment are ready.
    Prepared(Box<Prepared>),
    /// It cannot be done.
    Failed(TaskFailure),
    /// It was stopped.
    Stopped,
}

/// Owns the preparation.
pub(super) struct EnvironmentBuilder {
    order: Arc<ExecutorOrder>,
    console: Arc<Console>,
    parent: Recipient<PreparationNews>,
    stop: Arc<AtomicBool>,
    _lifeline: Lifeline<Child>,
}

impl EnvironmentBuilder {
    pub(super) fn new(
        order: Arc<ExecutorOrder>,
        console: Arc<Console>,
        parent: Recipient<PreparationNews>,
        lifeline: Lifeline<Child>,
    ) -> Self {
        Self { order, console, parent, stop: Arc::default(), _lifeline: lifeline }
    }
}

impl Actor for EnvironmentBuilder {
    type Context = Context<Self>;
}

impl Handler<Prepare> for EnvironmentBuilder {
    type Result = ();

    fn handle(&mut self, _: Prepare, ctx: &mut Self::Context) {
        let (order, console, stop) = (Arc::clone(&self.order), Arc::clone(&self.console), Arc::clone(&self.stop));
        let parent = self.parent.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            let announce = |phase| {
                // For people only, and replaceable: a full mailbox drops it.
                let _ = parent.try_send(PreparationNews::PhaseStarted(phase));
            };
            steps::prepare(&order, &console, &stop, &announce)
        });
        ctx.spawn(prepared.into_actor(self).map(|prepared, this, _| {
            let news = match prepared {
                Ok(Ok(prepared)) => PreparationNews::Prepared(Box::new(prepared)),
                Ok(Err(StepError::Stopped)) => PreparationNews::Stopped,
                Ok(Err(StepError::Failed(failure))) => PreparationNews::Failed(failure),
                Err(panic) => PreparationNews::Failed(TaskFailure::because(
                    FailureClass::Infrastructure,
                    Phase::Environment,
                    format!("the preparation ended unexpectedly, which is a defect of hostler: {panic}"),
                )),
            };
            tell(&this.parent, news);
        }));
    }
}

impl Handler<StopPreparation> for EnvironmentBuilder {
    type Result = ();

    fn handle(&mut self, _: StopPreparation, _: &mut Self::Context) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
