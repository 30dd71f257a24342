//! What a program needs to see its GPUs, and no others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{GpuCard, Share};
use crate::ids::GpuId;

/// What a lease means to whoever starts the program: the one place that knows, for processes and for containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuGrant {
    /// What the driver calls them: for `CUDA_VISIBLE_DEVICES`, for `DeviceIDs` of a container.
    pub devices: Vec<String>,
    /// Variables of the program.
    pub environment: BTreeMap<String, String>,
    /// Folders that a container needs at the same place. Where there are some, it also needs the machine's IPC namespace
    /// and `/dev/shm`: MPS speaks through them.
    pub mounts: Vec<PathBuf>,
}

/// Where the control daemon of a card with MPS shares works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MpsFolder(PathBuf);

/// What lies deepest below [`MpsFolder::pipe`].
const LONGEST_SOCKET: &str = "control_privileged";

/// The kernel takes no longer path of a socket.
const MAX_SOCKET_PATH: usize = 107;

impl MpsFolder {
    /// Of a card, below the folder of all of them. Short, because sockets lie in it: sixteen digits, whatever the card is
    /// called.
    pub fn of(root: &Path, gpu: &GpuId) -> Self {
        // FNV-1a: the same for ever, and for this nothing more is needed.
        let hash = gpu
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(root.join(format!("{hash:016x}")))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where programs find the control daemon.
    pub fn pipe(&self) -> PathBuf {
        self.0.join("pipe")
    }

    /// Where it says what it does.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Whether the kernel takes the paths of the sockets in it.
    pub fn is_short_enough(&self) -> bool {
        self.pipe().join(LONGEST_SOCKET).as_os_str().len() <= MAX_SOCKET_PATH
    }
}

impl GpuGrant {
    /// For so much of each of these cards. `mps_root` is where the control daemons of MPS work.
    pub fn of(gpus: &[GpuCard], share: Share, mps_root: &Path) -> Self {
        let devices: Vec<String> = gpus.iter().map(GpuCard::visible_as).collect();
        let visible = devices.join(",");
        let mut environment = BTreeMap::from([("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned())]);
        for name in ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"] {
            environment.insert(name.to_owned(), visible.clone());
        }
        let mut mounts = Vec::new();
        if let Some(card) = gpus.first().filter(|_| share.is_mps()) {
            let folder = MpsFolder::of(mps_root, &card.id);
            mounts.push(folder.pipe());
            environment.extend(mps(&folder, share, card.memory_bytes));
        }
        Self { devices, environment, mounts }
    }
}

/// What makes a program a client of MPS, within its share.
fn mps(folder: &MpsFolder, share: Share, memory_bytes: u64) -> Vec<(String, String)> {
    let mut set = vec![
        ("CUDA_MPS_PIPE_DIRECTORY".to_owned(), folder.pipe().display().to_string()),
        ("CUDA_MPS_LOG_DIRECTORY".to_owned(), folder.log().display().to_string()),
        // Thousandths as percent, and at least one.
        ("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE".to_owned(), (share.amount.0 / 10).max(1).to_string()),
    ];
    let mib = share.of(memory_bytes) >> 20;
    if mib > 0 {
        // The control daemon serves this card alone: to its clients it is the first.
        set.push(("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT".to_owned(), format!("0={mib}M")));
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::MilliGpu;

    fn card(memory_bytes: u64) -> GpuCard {
        GpuCard { id: "GPU-5e83".into(), index: 3, name: "H100".to_owned(), memory_bytes }
    }

    #[test]
    fn whole_cards_are_seen_by_uuid() {
        let grant = GpuGrant::of(&[card(80 << 30)], Share::WHOLE, Path::new("/s/mps"));
        assert_eq!((grant.devices, grant.mounts), (vec!["GPU-5e83".to_owned()], Vec::new()));
        let set: Vec<(&str, &str)> =
            grant.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
            ("CUDA_VISIBLE_DEVICES", "GPU-5e83"),
            ("NVIDIA_VISIBLE_DEVICES", "GPU-5e83"),
        ];
        assert_eq!(set, expected);
    }

    #[test]
    fn an_mps_share_has_its_limits_and_its_pipe() {
        let grant = GpuGrant::of(&[card(80 << 30)], Share::mps(MilliGpu(250)), Path::new("/s/mps"));
        let folder = MpsFolder::of(Path::new("/s/mps"), &"GPU-5e83".into());
        assert_eq!(grant.mounts, [folder.pipe()]);
        assert_eq!(grant.environment["CUDA_MPS_PIPE_DIRECTORY"], folder.pipe().display().to_string());
        assert_eq!(grant.environment["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"], "25");
        assert_eq!(grant.environment["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"], "0=20480M");
        let unknown = GpuGrant::of(&[card(0)], Share::mps(MilliGpu(1)), Path::new("/s/mps"));
        assert_eq!(unknown.environment["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"], "1");
        assert!(!unknown.environment.contains_key("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"), "nobody knows of how much");
    }

    #[test]
    fn a_folder_is_named_after_its_card_for_ever_and_fits_a_socket() {
        let folder = MpsFolder::of(Path::new("/s"), &"GPU-0".into());
        assert_eq!(folder.path(), Path::new("/s/c8a1ac95929754e8"));
        assert!(folder.is_short_enough());
        assert!(!MpsFolder::of(Path::new(&format!("/{}", "s".repeat(70))), &"GPU-0".into()).is_short_enough());
    }
}
