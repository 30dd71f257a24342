//! What `--gpus` means.

use super::*;

fn card(index: u32) -> FoundCard {
    let card = GpuCard { id: GpuId::from(format!("GPU-{index}aa")), index, name: "H200".to_owned(), memory_bytes: 1 };
    FoundCard { card, has_mig_mode: false, instances: Vec::new() }
}

/// A card with two instances.
fn divided(index: u32) -> FoundCard {
    let instance = |position: u32| GpuCard {
        id: GpuId::from(format!("MIG-{index}-{position}")),
        index,
        name: "H200 MIG 3g.71gb".to_owned(),
        memory_bytes: 1,
    };
    FoundCard { has_mig_mode: true, instances: vec![instance(0), instance(1)], ..card(index) }
}

fn lists(lists: &[&str]) -> Vec<String> {
    lists.iter().map(|list| (*list).to_owned()).collect()
}

#[track_caller]
fn check(given: &[&str], expected: &[(&str, &[u32])]) {
    let cards: Vec<FoundCard> = (0..4).map(card).collect();
    let shares = shares(&lists(given), Some(&cards), false).unwrap();
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
    let cards = [card(0), card(1), divided(2)];
    let error = shares(&lists(given), Some(&cards), false).expect_err("it makes no sense").to_string();
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
    fails(&["5"], "there are: 0 (H200, GPU-0aa), 1 (H200, GPU-1aa), 2 (H200, GPU-2aa)");
    fails(&["0", "1,0"], "given twice");
    fails(&["0", "GPU-0aa"], "given twice");
    fails(&["1,1"], "given twice");
    fails(&["0", "all"], "given twice");
    fails(&["0,,1"], "empty");
    fails(&["2"], "in MIG mode: name its instances, 2:0 (H200 MIG 3g.71gb), 2:1 (H200 MIG 3g.71gb)");
    fails(&["2:2"], "no MIG instance 2, it has: 2:0");
    fails(&["0:1"], "it has: none on GPU 0");
    fails(&["7:0"], "there is no GPU 7");
    fails(&["MIG-9"], "there are: 2:0");
    fails(&["2:x"], "no part of a GPU");
    fails(&["2:0", "MIG-2-0"], "given twice");
    fails(&["3-1"], "upwards");
    fails(&["first"], "no GPU");
}

#[test]
fn instances_are_seen_by_their_uuids() {
    let cards = [card(0), divided(1)];
    let seen = |given: &[&str]| {
        let shares = shares(&lists(given), Some(&cards), false).unwrap();
        let seen = shares.into_iter().map(|share| {
            let Share::Gpus { text, visible, .. } = share else { panic!("{share:?} has no list") };
            (text, visible)
        });
        seen.collect::<Vec<_>>()
    };
    let pair = |text: &str, visible: &str| (text.to_owned(), visible.to_owned());
    assert_eq!(seen(&["1:1"]), [pair("1.1", "MIG-1-1")]);
    assert_eq!(seen(&["MIG-1-0"]), [pair("MIG-1-0", "MIG-1-0")]);
    let each = [pair("0", "0"), pair("1.0", "MIG-1-0"), pair("1.1", "MIG-1-1")];
    assert_eq!(seen(&[EACH]), each);
}

#[test]
fn simulated_cards_are_seen_by_their_uuids_only() {
    let cards = [card(0), card(1)];
    for (given, expected) in [("0", "GPU-0aa"), ("all", "GPU-0aa,GPU-1aa")] {
        let shares = shares(&lists(&[given]), Some(&cards), true).unwrap();
        let environment = shares[0].environment().0;
        assert_eq!(environment["CUDA_VISIBLE_DEVICES"], expected);
        assert_eq!(environment["NVIDIA_VISIBLE_DEVICES"], expected);
    }
}

#[test]
fn a_dynamic_worker_has_every_card_of_its_lists() {
    let cards = [card(0), card(1), divided(2)];
    let plan = |given: &[&str]| dynamic(&lists(given), Some(&cards), None, None);
    let indexes = |given: &[&str]| {
        let pool = plan(given).unwrap().pool.unwrap();
        pool.cards().iter().map(|card| card.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(indexes(&["0-1"]), ["GPU-0aa", "GPU-1aa"]);
    assert_eq!(indexes(&["0", "2:1"]), ["GPU-0aa", "MIG-2-1"]);
    assert_eq!(indexes(&["all"]), ["GPU-0aa", "GPU-1aa", "MIG-2-0", "MIG-2-1"]);
    assert!(plan(&["0", "0"]).is_err());
}

#[test]
fn without_a_driver_cards_are_taken_as_given() {
    let shares = shares(&lists(&["0,3", "GPU-x", "1:0"]), None, false).unwrap();
    let ids: Vec<String> = shares.iter().flat_map(Share::cards).map(|card| card.id.to_string()).collect();
    assert_eq!(ids, ["index:0", "index:3", "GPU-x", "index:1:0"]);
    assert!(super::shares(&lists(&[EACH]), None, false).is_err());
    assert!(super::shares(&lists(&["all", "0"]), None, false).is_err());
}

#[test]
fn tasks_see_their_cards_only() {
    let get = |share: &Share, name: &str| share.environment().0.get(name).cloned();
    let gpus = Share::Gpus { text: "0,1".to_owned(), visible: "0,1".to_owned(), cards: Vec::new() };
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
