//! Who uses how much of each card.

use std::collections::BTreeMap;

use drivers::nvml::{CardLook, GpuProcess, GpuSample};
use protocols::gpu::GpuCard;
use protocols::ids::TaskId;

use crate::daemon::gpu::usage::DeviceUse;

/// How every card that answers, and every instance of it, is used.
pub(super) fn of_devices(looks: &[CardLook]) -> Vec<DeviceUse> {
    let mut devices = Vec::new();
    for look in looks {
        let Ok(state) = &look.state else { continue };
        let all: Vec<(&GpuProcess, Option<TaskId>)> =
            state.processes.iter().map(|process| (process, task_of(process.pid))).collect();
        devices.push(device(&look.card, &state.sample, &all));
        for instance in &state.instances {
            let is_on_it =
                |process: &GpuProcess| process.gpu_instance.is_some() && process.gpu_instance == instance.gpu_instance;
            let on_it: Vec<_> = all.iter().filter(|(process, _)| is_on_it(process)).cloned().collect();
            devices.push(device(&instance.instance, &instance.sample, &on_it));
        }
    }
    devices
}

fn device(card: &GpuCard, sample: &GpuSample, processes: &[(&GpuProcess, Option<TaskId>)]) -> DeviceUse {
    let mut tasks: BTreeMap<TaskId, u64> = BTreeMap::new();
    for (process, task) in processes {
        if let Some(task) = task {
            let used = tasks.entry(task.clone()).or_default();
            *used = used.saturating_add(process.memory_bytes.unwrap_or(0));
        }
    }
    let is_here = |pid: u32| i32::try_from(pid).is_ok_and(|pid| drivers::process::process_id(pid).is_some());
    let is_opaque = !processes.iter().any(|(process, _)| is_here(process.pid));
    DeviceUse { gpu: card.id.clone(), index: card.index, sample: sample.clone(), tasks, is_opaque }
}

/// The task of the attempt that a process belongs to: `TASK.PULL.ATTEMPT`.
fn task_of(pid: u32) -> Option<TaskId> {
    let mark = drivers::process::attempt_of(pid)?;
    let (task, _) = mark.rsplit_once('.')?.0.rsplit_once('.')?;
    Some(TaskId::from(task))
}
