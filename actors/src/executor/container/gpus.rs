//! The GPUs of a container: how the engine is asked for them, and whether they came.

use std::path::Path;

use drivers::container::{Engine, EngineError, GpuAccess};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::order::{ContainerOrder, GpuGiver};

use super::running::Running;

/// How the container of a task gets those of its lease.
pub(super) fn access(engine: &Engine, container: &ContainerOrder) -> Result<GpuAccess, EngineError> {
    match container.gpu_giver {
        GpuGiver::Anybody => Ok(GpuAccess::Unmanaged),
        GpuGiver::Nobody => Ok(GpuAccess::None),
        GpuGiver::Runtime if container.gpus.is_empty() => Ok(GpuAccess::None),
        GpuGiver::Runtime => Ok(GpuAccess::Variable(container.gpus.clone())),
        GpuGiver::Engine => engine.gpu_access(&container.gpus),
    }
}

/// Sees to it that a container has GPUs where the engine could be asked for none: it would start without, and say
/// nothing.
pub(super) fn check(access: &GpuAccess, container: &ContainerOrder, running: &Running) -> Result<(), TaskFailure> {
    let is_unsure = matches!(access, GpuAccess::Variable(_)) && container.gpu_giver == GpuGiver::Engine;
    let devices = || running.pid().map(|pid| format!("/proc/{pid}/root/dev"));
    // Who may not look in there cannot say that there are none.
    if !is_unsure || devices().and_then(|folder| has_gpus(Path::new(&folder))) != Some(false) {
        return Ok(());
    }
    let message = "the container engine gave the task none of its GPUs: the socket of Podman takes CDI names from 5.5 on, \
                   and no hook or runtime of this older one has looked at NVIDIA_VISIBLE_DEVICES (use a newer Podman, \
                   with CDI specifications of the NVIDIA Container Toolkit, or Docker)";
    Err(TaskFailure::because(FailureClass::Infrastructure, Phase::Starting, message))
}

/// Whether a folder of devices has GPUs of NVIDIA: cards, or what stands for them under Windows and on Tegra.
fn has_gpus(folder: &Path) -> Option<bool> {
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_gpu = |name: String| {
        let card = name.strip_prefix("nvidia").and_then(|number| number.parse::<u32>().ok());
        card.is_some() || name == "dxg" || name.starts_with("nvhost")
    };
    Some(names.into_iter().any(is_gpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_gpus_are_told_from_others() {
        for (names, expected) in [
            (vec!["null", "nvidiactl", "nvidia-uvm", "nvme0"], false),
            (vec!["null", "nvidia12"], true),
            (vec!["dxg"], true),
        ] {
            let folder = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
            assert_eq!(has_gpus(folder.path()), Some(expected), "{names:?}");
        }
        assert_eq!(has_gpus(Path::new("/nowhere")), None);
    }
}
