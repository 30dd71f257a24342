//! Programs on our cards that no task of ours started.

use std::collections::{BTreeMap, BTreeSet};

use drivers::nvml::{CardLook, CardState, GpuProcess};
use protocols::ids::GpuId;
use tracing::{info, warn};

use crate::daemon::settings::ForeignPolicy;

/// Who else computes on the cards.
#[derive(Debug)]
pub(super) struct Strangers {
    policy: ForeignPolicy,
    /// The strangers of the last look. One that is seen for the first time may be a process of ours that ends.
    seen: Option<BTreeSet<u32>>,
    users: BTreeMap<GpuId, BTreeSet<u32>>,
}

impl Strangers {
    pub(super) fn new(policy: ForeignPolicy) -> Self {
        Self { policy, seen: None, users: BTreeMap::new() }
    }

    pub(super) fn look(&mut self, looks: &[CardLook]) {
        if self.policy == ForeignPolicy::Ignore {
            return;
        }
        let mut now = BTreeSet::new();
        let mut users: BTreeMap<GpuId, BTreeSet<u32>> = BTreeMap::new();
        for look in looks {
            let Ok(state) = &look.state else { continue };
            for process in state.processes.iter().filter(|process| process.computes && is_foreign(process.pid)) {
                now.insert(process.pid);
                // Before the first look nobody knows: then a stranger is one at once.
                if self.seen.as_ref().is_none_or(|seen| seen.contains(&process.pid)) {
                    for device in devices(&look.card.id, state, process) {
                        users.entry(device).or_default().insert(process.pid);
                    }
                }
            }
        }
        self.seen = Some(now);
        for (device, pids) in &users {
            if self.users.get(device) != Some(pids) && self.policy == ForeignPolicy::Warn {
                warn!(gpu = %device, ?pids, "programs that are no tasks use a GPU; --gpu-foreign wait leaves it to them");
            } else if self.users.get(device) != Some(pids) {
                info!(gpu = %device, ?pids, "programs that are no tasks use a GPU: it gets no task while they do");
            }
        }
        self.users = users;
    }

    /// The devices that are left to others, and why.
    pub(super) fn out_of_use(&self) -> BTreeMap<GpuId, String> {
        if self.policy != ForeignPolicy::Wait {
            return BTreeMap::new();
        }
        let why = |pids: &BTreeSet<u32>| {
            let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            format!("in use by programs that are no tasks (process {pids})")
        };
        self.users.iter().map(|(device, pids)| (device.clone(), why(pids))).collect()
    }
}

/// Whether a process belongs to nobody's attempt. Where its id is not one of this machine's processes, as in a
/// container, nobody can tell, and it is not held against the card.
fn is_foreign(pid: u32) -> bool {
    let is_here = i32::try_from(pid).is_ok_and(|pid| drivers::process::process_id(pid).is_some());
    is_here && drivers::process::attempt_of(pid).is_none()
}

/// What cannot be leased while a process is there: the card, and its instance, or all of them.
fn devices(card: &GpuId, state: &CardState, process: &GpuProcess) -> Vec<GpuId> {
    let number = process.gpu_instance;
    let instances = state.instances.iter().filter(move |instance| number.is_none() || instance.gpu_instance == number);
    std::iter::once(card.clone()).chain(instances.map(|instance| instance.instance.id.clone())).collect()
}
