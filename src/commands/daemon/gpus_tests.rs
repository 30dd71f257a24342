//! What `--gpus` means.

use super::*;

fn card(index: u32) -> GpuCard {
    GpuCard { id: GpuId::from(format!("GPU-{index}aa")), index, name: "H200".to_owned(), memory_bytes: 1 }
}

fn lists(lists: &[&str]) -> Vec<String> {
    lists.iter().map(|list| (*list).to_owned()).collect()
}

#[track_caller]
fn check(given: &[&str], expected: &[(&str, &[u32])]) {
    let cards: Vec<GpuCard> = (0..4).map(card).collect();
    let shares = shares(&lists(given), Some(&cards)).unwrap();
    let found: Vec<(String, Vec<u32>)> = shares
        .into_iter()
        .map(|share| {
            let indexes = share.cards().iter().map(|card| card.index).collect();
            let Share::Gpus { text, .. } = share else { panic!("{share:?} has a list") };
            (text, indexes)
        })
        .collect();
    let expected: Vec<(String, Vec<u32>)> =
        expected.iter().map(|(text, indexes)| ((*text).to_owned(), indexes.to_vec())).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn fails(given: &[&str], expected: &str) {
    let cards: Vec<GpuCard> = (0..2).map(card).collect();
    let error = shares(&lists(given), Some(&cards)).expect_err("it makes no sense").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn each_list_is_a_worker() {
    check(&["0,1", "2,3"], &[("0,1", &[0, 1]), ("2,3", &[2, 3])]);
    check(&["1-3"], &[("1,2,3", &[1, 2, 3])]);
    check(&["GPU-2aa"], &[("GPU-2aa", &[2])]);
    check(&[EACH], &[("0", &[0]), ("1", &[1]), ("2", &[2]), ("3", &[3])]);
}

#[test]
fn a_card_must_exist_and_belongs_to_one_worker() {
    fails(&["5"], "there are: 0 (H200, GPU-0aa), 1 (H200, GPU-1aa)");
    fails(&["0", "1,0"], "given twice");
    fails(&["0", "GPU-0aa"], "given twice");
    fails(&["1,1"], "given twice");
    fails(&["0", "all"], "given twice");
    fails(&["0,,1"], "empty");
    fails(&["0:1"], "MIG");
    fails(&["3-1"], "upwards");
    fails(&["first"], "no GPU");
}

#[test]
fn without_a_driver_cards_are_taken_as_given() {
    let shares = shares(&lists(&["0,3", "GPU-x"]), None).unwrap();
    let ids: Vec<String> = shares.iter().flat_map(Share::cards).map(|card| card.id.to_string()).collect();
    assert_eq!(ids, ["index:0", "index:3", "GPU-x"]);
    assert!(super::shares(&lists(&[EACH]), None).is_err());
    assert!(super::shares(&lists(&["all", "0"]), None).is_err());
}

#[test]
fn tasks_see_their_cards_only() {
    let get = |share: &Share, name: &str| share.environment().0.get(name).cloned();
    let gpus = Share::Gpus { text: "0,1".to_owned(), cards: Vec::new() };
    assert_eq!(get(&gpus, "CUDA_VISIBLE_DEVICES").as_deref(), Some("0,1"));
    assert_eq!(get(&gpus, "NVIDIA_VISIBLE_DEVICES").as_deref(), Some("0,1"));
    assert_eq!(get(&Share::Cpu, "CUDA_VISIBLE_DEVICES").as_deref(), Some("none"));
    let all = Share::AllGpus(Vec::new());
    assert_eq!(get(&all, "NVIDIA_VISIBLE_DEVICES").as_deref(), Some("all"));
    assert_eq!(all.environment().1, ["CUDA_VISIBLE_DEVICES"]);
    assert_eq!(get(&Share::Whole, "CUDA_VISIBLE_DEVICES"), None);
    for share in [gpus, all, Share::Cpu, Share::Whole] {
        assert_eq!(get(&share, "CUDA_DEVICE_ORDER").as_deref(), Some("PCI_BUS_ID"));
    }
}
