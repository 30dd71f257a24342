//! The ways to leave: detach, drain, stop.

use std::time::Duration;

use actix::prelude::*;
use protocols::control::DaemonMode;
use tracing::{info, warn};

use super::{LeaveSignal, Supervisor};
use crate::daemon::exit::DaemonExit;
use crate::daemon::metrics::Unregister;
use crate::daemon::prefetcher::StopPrefetching;
use crate::daemon::queue_poller::StopPulling;
use crate::daemon::task_manager::StopAll;
use crate::daemon::warm_keeper::StopWarming;
use crate::kit::tell;

/// How long a pull that is under way may hold up the daemon's leaving.
const PULL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a preparation ahead of its turn may. What is left of it ends when it sees that the daemon is gone.
const PREFETCH_PATIENCE: Duration = Duration::from_secs(3);
/// How long the end of containers that idle may.
const WARM_PATIENCE: Duration = Duration::from_secs(5);
/// How long the workers' signing off may.
const UNREGISTER_PATIENCE: Duration = Duration::from_secs(3);
/// How long a server that is away may hold up the daemon's leaving once nothing runs any more.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);

/// What the daemon is doing about leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    Detach,
    Drain,
    Stop,
}

impl Supervisor {
    /// Takes nothing new, then goes the chosen way. A later choice replaces an earlier one.
    pub(super) fn leave(&mut self, leaving: Leaving, now: bool, ctx: &mut Context<Self>) {
        self.leaving = Some(leaving);
        self.mode.send_replace(match leaving {
            Leaving::Detach | Leaving::Drain => DaemonMode::Draining,
            Leaving::Stop => DaemonMode::Stopping,
        });
        let (poller, prefetcher) = (self.poller.clone(), self.prefetcher.clone());
        let warm_keeper = self.warm_keeper.clone();
        let stopping = async move {
            let pulls = async {
                if let Some(poller) = poller {
                    let _ = tokio::time::timeout(PULL_PATIENCE, poller.send(StopPulling)).await;
                }
            };
            let prefetches = async {
                if let Some(prefetcher) = prefetcher {
                    let _ = tokio::time::timeout(PREFETCH_PATIENCE, prefetcher.send(StopPrefetching)).await;
                }
            };
            let idle = async {
                if let Some(keeper) = warm_keeper {
                    let _ = tokio::time::timeout(WARM_PATIENCE, keeper.send(StopWarming)).await;
                }
            };
            futures::future::join3(pulls, prefetches, idle).await;
        };
        ctx.spawn(stopping.into_actor(self).map(move |_, this, ctx| {
            if this.leaving != Some(leaving) {
                return;
            }
            match leaving {
                Leaving::Detach => this.finish(DaemonExit::Detached),
                Leaving::Drain => this.leave_when_idle(ctx),
                Leaving::Stop => {
                    if let Some(core) = &this.core {
                        tell(&core.tasks.clone().recipient(), StopAll { now });
                    }
                    this.leave_when_idle(ctx);
                }
            }
        }));
    }

    /// Leaves once every run is settled; when stopping, also once nothing runs and the server stays away.
    pub(super) fn leave_when_idle(&mut self, ctx: &mut Context<Self>) {
        let exit = match self.leaving {
            Some(Leaving::Drain) => DaemonExit::Drained,
            Some(Leaving::Stop) => DaemonExit::Stopped,
            Some(Leaving::Detach) | None => return,
        };
        if self.load.unsettled == 0 {
            self.unregister_and_finish(exit, ctx);
        } else if self.load.running == 0 && exit == DaemonExit::Stopped {
            ctx.run_later(REPORT_PATIENCE, |this, ctx| {
                if this.load.running == 0 && this.load.unsettled > 0 && this.leaving == Some(Leaving::Stop) {
                    warn!(
                        tasks = this.load.unsettled,
                        "the server has not acknowledged every outcome; the next daemon reports them"
                    );
                    this.unregister_and_finish(DaemonExit::Stopped, ctx);
                }
            });
        }
    }

    pub(super) fn unregister_and_finish(&mut self, exit: DaemonExit, ctx: &mut Context<Self>) {
        let metrics = self.metrics.clone();
        let signing_off = async move {
            if let Some(metrics) = metrics {
                let _ = tokio::time::timeout(UNREGISTER_PATIENCE, metrics.send(Unregister)).await;
            }
        };
        ctx.spawn(signing_off.into_actor(self).map(move |(), this, _| this.finish(exit)));
    }
}

impl Handler<LeaveSignal> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: LeaveSignal, ctx: &mut Self::Context) {
        let settings = &self.prepared.settings;
        // Whoever runs one task waits for it: it ends with him.
        let detaches = settings.only.is_none() && (message == LeaveSignal::Terminate || settings.under_service_manager);
        let running = self.load.running;
        match self.leaving {
            None | Some(Leaving::Drain) if detaches => {
                info!(
                    running,
                    "detaching: running tasks live on and the next daemon takes them over; another signal stops them"
                );
                self.leave(Leaving::Detach, false, ctx);
            }
            None | Some(Leaving::Drain | Leaving::Detach) => {
                let grace = self.prepared.settings.stop_grace.as_secs();
                info!(running, "stopping the running tasks, with {grace} s of grace; another signal kills them now");
                self.leave(Leaving::Stop, false, ctx);
            }
            Some(Leaving::Stop) => {
                warn!(running, "killing the running tasks");
                self.leave(Leaving::Stop, true, ctx);
            }
        }
    }
}
