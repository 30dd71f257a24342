//! Names of workers, by the rules of the stock agent: servers' pages and other agents read them.

use protocols::ids::WorkerId;

use super::gpus::Share;

/// What comes after the host in a worker's name, and whether a slot number follows it.
fn suffix(share: &Share) -> (String, bool) {
    match share {
        Share::Whole => (String::new(), true),
        Share::Cpu => (":cpu".to_owned(), true),
        Share::AllGpus(_) => (":gpuall".to_owned(), false),
        Share::Gpus { text, .. } => (format!(":gpu{text}"), false),
        Share::Dynamic { text, .. } => (format!(":dgpu{text}"), false),
    }
}

/// The name of a worker of `base`, which is the host or `agent.worker_name`: `base:SLOT`, `base:cpu:SLOT`,
/// `base:gpu0,1`, `base:gpuall`, `base:dgpu0-7`.
pub(super) fn name(base: &str, share: &Share, slot: u32) -> WorkerId {
    let (suffix, is_numbered) = suffix(share);
    WorkerId::from(if is_numbered { format!("{base}{suffix}:{slot}") } else { format!("{base}{suffix}") })
}

/// Whether several workers on a machine may have the same share: they are told apart by their slots.
pub(super) fn is_numbered(share: &Share) -> bool {
    suffix(share).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_stock_agent() {
        let gpus = Share::Gpus { text: "0,1".to_owned(), visible: String::new(), cards: Vec::new() };
        let dynamic = Share::Dynamic { text: "0-7".to_owned(), cards: Vec::new() };
        let names = [Share::Whole, Share::Cpu, gpus, Share::AllGpus(Vec::new()), dynamic]
            .map(|share| name("vm", &share, 3).to_string());
        assert_eq!(names, ["vm:3", "vm:cpu:3", "vm:gpu0,1", "vm:gpuall", "vm:dgpu0-7"]);
    }
}
