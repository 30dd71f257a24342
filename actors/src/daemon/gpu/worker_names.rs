//! What a worker is called that exists for one lease of dynamic GPUs, by the rules of the stock agent.

use protocols::gpu::{GpuCard, Share};
use protocols::ids::WorkerId;

/// `host:gpu0,1` for whole cards, `host:gpu0.5a` for a half of card 0: the letter tells it from the others there.
pub(super) fn of_lease(base: &str, gpus: &[GpuCard], share: Share, is_taken: impl Fn(&WorkerId) -> bool) -> WorkerId {
    let indexes: Vec<String> = gpus.iter().map(|card| card.index.to_string()).collect();
    let cards = indexes.join(",");
    if share.is_whole() {
        let name = WorkerId::new(format!("{base}:gpu{cards}"));
        // Instances of one card share its index.
        let numbered = (1..).map(|number| WorkerId::new(format!("{base}:gpu{cards}:{number}")));
        return std::iter::once(name.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(name);
    }
    let part = share.amount.to_string();
    let part = part.trim_start_matches('0');
    let name = |slice: String| WorkerId::new(format!("{base}:gpu{cards}{part}{slice}"));
    let letters = ('a'..='z').map(String::from);
    let numbers = (27..).map(|number: u32| format!("-{number}"));
    letters.chain(numbers).map(name).find(|name| !is_taken(name)).unwrap_or_else(|| name(String::new()))
}

#[cfg(test)]
mod tests {
    use protocols::gpu::{MilliGpu, WHOLE_GPU};

    use super::*;

    #[track_caller]
    fn check(indexes: &[u32], share: u32, taken: &[&str], expected: &str) {
        let card = |index: &u32| GpuCard {
            id: protocols::ids::GpuId::new(format!("GPU-{index}")),
            index: *index,
            name: String::new(),
            memory_bytes: 0,
        };
        let gpus: Vec<GpuCard> = indexes.iter().map(card).collect();
        let name = of_lease("vm", &gpus, Share::slot(MilliGpu(share)), |name| taken.contains(&name.as_str()));
        assert_eq!(name.as_str(), expected);
    }

    #[test]
    fn names_follow_the_cards() {
        check(&[0, 1], WHOLE_GPU.0, &[], "vm:gpu0,1");
        check(&[3], WHOLE_GPU.0, &["vm:gpu3"], "vm:gpu3:1");
        check(&[0], 500, &[], "vm:gpu0.5a");
        check(&[0], 500, &["vm:gpu0.5a"], "vm:gpu0.5b");
        check(&[2], 125, &[], "vm:gpu2.125a");
    }
}
