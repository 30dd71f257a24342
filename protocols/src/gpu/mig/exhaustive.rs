//! The planner against everything that a card can be divided into.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Every set of instances that a card can have at a time, the empty one among them.
fn legal(geometry: &Geometry) -> Vec<Vec<Placed>> {
    let places: Vec<Placed> = geometry
        .shapes
        .iter()
        .flat_map(|shape| shape.starts.iter().map(|start| Placed { profile: shape.profile, start: *start }))
        .collect();
    let mut all = Vec::new();
    grow(geometry, &places, &mut Vec::new(), usize::MAX, &mut |set| all.push(set.to_vec()));
    all
}

/// Shows `begun`, and it with every set of `places`, at most `more` of them, that is legal beside it.
fn grow(
    geometry: &Geometry,
    places: &[Placed],
    begun: &mut Vec<Placed>,
    more: usize,
    show: &mut impl FnMut(&[Placed]),
) {
    show(begun);
    if more == 0 {
        return;
    }
    for (position, place) in places.iter().enumerate() {
        begun.push(*place);
        if geometry.is_legal(begun) {
            grow(geometry, &places[position + 1..], begun, more - 1, show);
        }
        begun.pop();
    }
}

fn wanted(profiles: &[MigProfile]) -> Vec<Wanted> {
    profiles.iter().map(|profile| Wanted { profile: *profile, held: None }).collect()
}

fn is_given(answer: &Answer) -> bool {
    matches!(answer, Answer::Given(_))
}

fn sorted(mut profiles: Vec<MigProfile>) -> Vec<MigProfile> {
    profiles.sort_unstable();
    profiles
}

/// Carries a plan out, step by step, on what there is. Panics where a step is not possible, or not allowed.
fn carry_out(cards: &[Divided], wanted: &[MigProfile], plan: &Plan) {
    let mut there: Vec<Vec<Placed>> =
        cards.iter().map(|card| card.instances.iter().map(|instance| instance.placed).collect()).collect();
    for step in &plan.steps {
        match step {
            Step::Destroy { card, placed } => {
                let instance = cards[*card].instances.iter().find(|instance| instance.placed == *placed).unwrap();
                assert!(instance.is_ours && !instance.is_busy, "{step:?}");
                there[*card].retain(|other| other != placed);
            }
            Step::Create { card, placed } => {
                there[*card].push(*placed);
                assert!(cards[*card].geometry.is_legal(&there[*card]), "{step:?} of {plan:?} on {cards:?}");
            }
        }
    }
    let mut given = BTreeSet::new();
    assert_eq!(plan.answers.len(), wanted.len());
    for (profile, answer) in wanted.iter().zip(&plan.answers) {
        let Answer::Given(Grant { card, placed, exists }) = answer else { continue };
        assert_eq!(placed.profile, *profile);
        assert!(there[*card].contains(placed), "{answer:?} is not there");
        assert!(given.insert((*card, *placed)), "{placed:?} is given twice");
        let before = cards[*card].instances.iter().find(|instance| instance.placed == *placed);
        assert_eq!(before.is_some(), *exists);
        assert!(before.is_none_or(|instance| !instance.is_busy));
    }
}

/// With any legal set of instances in use, one, two or three more are planned exactly where they are possible at all.
fn check_all(geometry: &Geometry) {
    let profiles: Vec<MigProfile> = geometry.shapes.iter().map(|shape| shape.profile).collect();
    let places: Vec<Placed> = legal(geometry).into_iter().filter(|set| set.len() == 1).flatten().collect();
    for (number, busy) in legal(geometry).into_iter().enumerate() {
        // Three at a time for some, or it takes minutes.
        let most = if number % 16 == 0 { 3 } else { 2 };
        let mut possible: BTreeSet<Vec<MigProfile>> = BTreeSet::new();
        grow(geometry, &places, &mut busy.clone(), most, &mut |set| {
            possible.insert(sorted(set[busy.len()..].iter().map(|placed| placed.profile).collect()));
        });
        let used = |placed: &Placed| Instance { placed: *placed, is_busy: true, is_ours: true };
        let instances = busy.iter().map(used).collect();
        let cards = [Divided { geometry: geometry.clone(), instances }];
        let ask = |profiles: &[MigProfile]| {
            let plan = plan(&cards, &wanted(profiles));
            carry_out(&cards, profiles, &plan);
            let all = plan.answers.iter().all(is_given);
            assert_eq!(all, possible.contains(&sorted(profiles.to_vec())), "{profiles:?} beside {busy:?}: {plan:?}");
        };
        for one in &profiles {
            ask(&[*one]);
            for two in &profiles {
                ask(&[*one, *two]);
                if most == 3 {
                    profiles.iter().for_each(|three| ask(&[*one, *two, *three]));
                }
            }
        }
    }
}

#[test]
fn every_legal_division_of_an_a100() {
    check_all(&Geometry::a100_40gb());
}

#[test]
fn every_legal_division_of_an_h200() {
    check_all(&Geometry::h200_141gb());
}

#[test]
fn the_cards_differ_in_names_alone() {
    let places = |geometry: Geometry| -> Vec<(u8, u8, Vec<u8>, u8)> {
        geometry.shapes.into_iter().map(|shape| (shape.compute, shape.memory, shape.starts, shape.most)).collect()
    };
    let of_a100 = places(Geometry::a100_40gb());
    for other in [Geometry::a100_80gb(), Geometry::h100_80gb(), Geometry::h200_141gb()] {
        assert_eq!(places(other), of_a100, "what holds of one holds of all");
    }
}

#[test]
fn the_first_small_one_leaves_room_for_large_ones() {
    let cards = [Divided { geometry: Geometry::h100_80gb(), instances: Vec::new() }];
    let profiles = ["1g.10gb", "3g.40gb", "2g.20gb", "1g.10gb"].map(|name| name.parse().unwrap());
    for count in 1..=profiles.len() {
        let plan = plan(&cards, &wanted(&profiles[..count]));
        assert!(plan.answers.iter().all(is_given), "{plan:?}");
        let Answer::Given(Grant { placed, .. }) = plan.answers[0] else { panic!("{plan:?}") };
        assert!(count > 1 || placed.start == 6, "it begins at the end: {plan:?}");
    }
}

#[test]
fn what_is_there_is_given_before_anything_is_made() {
    let of = |name: &str, start, is_ours| {
        let placed = Placed { profile: name.parse().unwrap(), start };
        Instance { placed, is_busy: false, is_ours }
    };
    let theirs = of("1g.10gb", 0, false);
    let ours = of("3g.40gb", 4, true);
    let cards = [Divided { geometry: Geometry::h100_80gb(), instances: vec![theirs, ours] }];
    let want =
        |names: &[&str]| plan(&cards, &wanted(&names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>()));
    let exists = |plan: &Plan| {
        let exists = |answer: &Answer| if let Answer::Given(grant) = answer { Some(grant.exists) } else { None };
        plan.answers.iter().map(exists).collect::<Vec<_>>()
    };
    let both = want(&["1g.10gb", "3g.40gb"]);
    assert_eq!((both.steps.as_slice(), exists(&both)), ([].as_slice(), vec![Some(true), Some(true)]));
    // Ours makes way where nothing else does, theirs never.
    let twos = want(&["2g.20gb", "2g.20gb", "1g.20gb"]);
    assert_eq!(twos.steps[0], Step::Destroy { card: 0, placed: ours.placed });
    assert_eq!(exists(&twos), [Some(false), Some(false), Some(false)]);
    assert_eq!(want(&["7g.80gb", "4g.40gb"]).answers, [Answer::Never, Answer::Never]);
}

#[test]
fn who_cannot_be_served_holds_a_card_against_those_behind() {
    let busy = |name: &str, start| Instance {
        placed: Placed { profile: name.parse().unwrap(), start },
        is_busy: true,
        is_ours: true,
    };
    let card = |instances| Divided { geometry: Geometry::h100_80gb(), instances };
    let cards = [card(vec![busy("1g.10gb", 0), busy("2g.20gb", 2)]), card(vec![busy("1g.10gb", 6)])];
    let of = |profile: &str, held| Wanted { profile: profile.parse().unwrap(), held };
    let answers = |wanted: &[Wanted]| plan(&cards, wanted).answers;
    let given = |answer: &Answer| if let Answer::Given(grant) = answer { Some(grant.card) } else { None };
    let all = answers(&[of("7g.80gb", None), of("1g.10gb", None), of("7g.80gb", None), of("1g.10gb", None)]);
    assert_eq!((all[0], all[2], all[3]), (Answer::Holds(1), Answer::Holds(0), Answer::Behind));
    assert_eq!(given(&all[1]), Some(0), "the card that is held is not for those behind: {all:?}");
    assert_eq!(answers(&[of("7g.80gb", Some(0))]), [Answer::Holds(0)], "what was held is kept");
}

proptest! {
    /// Several cards, with instances of all kinds on them: every plan can be carried out, and nobody who is granted
    /// something loses it because of those behind.
    #[test]
    fn plans_of_several_cards_are_realisable(
        picks in proptest::collection::vec((any::<prop::sample::Index>(), proptest::collection::vec(0u8..4, 8)), 1..4),
        profiles in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let geometry = Geometry::h100_80gb();
        let sets = legal(&geometry);
        let card = |(set, uses): &(prop::sample::Index, Vec<u8>)| {
            let with_use = |(placed, used): (&Placed, &u8)| Instance {
                placed: *placed,
                is_busy: used & 1 != 0,
                is_ours: used & 2 != 0,
            };
            let instances = sets[set.index(sets.len())].iter().zip(uses).map(with_use).collect();
            Divided { geometry: geometry.clone(), instances }
        };
        let cards: Vec<Divided> = picks.iter().map(card).collect();
        let profiles: Vec<MigProfile> =
            profiles.iter().map(|index| geometry.shapes[index.index(geometry.shapes.len())].profile).collect();
        let mut granted = Vec::new();
        for count in 0..=profiles.len() {
            let plan = plan(&cards, &wanted(&profiles[..count]));
            carry_out(&cards, &profiles[..count], &plan);
            let now: Vec<bool> = plan.answers.iter().map(is_given).collect();
            prop_assert_eq!(&now[..granted.len()], granted.as_slice());
            granted = now;
        }
    }

    /// Who is first gets an instance at the latest when everything has ended that ran when it came, whatever is given
    /// to those behind it meanwhile, and never ends.
    #[test]
    fn who_is_first_waits_for_what_ran_before_it_and_for_nothing_else(
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
        first in any::<prop::sample::Index>(),
        behind in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 24),
    ) {
        let geometry = Geometry::h100_80gb();
        let sets = legal(&geometry);
        let profile = |index: &prop::sample::Index| geometry.shapes[index.index(geometry.shapes.len())].profile;
        let busy = |placed: &Placed| Instance { placed: *placed, is_busy: true, is_ours: true };
        let card = |set: &prop::sample::Index| Divided {
            geometry: geometry.clone(),
            instances: sets[set.index(sets.len())].iter().map(busy).collect(),
        };
        let mut cards: Vec<Divided> = picks.iter().map(card).collect();
        let mut running: Vec<(usize, Placed)> = cards
            .iter()
            .enumerate()
            .flat_map(|(card, divided)| divided.instances.iter().map(move |instance| (card, instance.placed)))
            .collect();
        let mut behind: Vec<MigProfile> = behind.iter().map(profile).collect();
        let (first, mut held, mut order) = (profile(&first), None, order.into_iter());
        loop {
            let mut all = vec![Wanted { profile: first, held }];
            all.extend(wanted(&behind));
            let Plan { steps, answers } = plan(&cards, &all);
            match answers[0] {
                Answer::Given(_) => break,
                Answer::Holds(card) => held = Some(card),
                Answer::Behind | Answer::Never => prop_assert!(false, "{:?}", answers),
            }
            prop_assert!(!running.is_empty(), "nothing of what ran before runs, and it still waits");
            for step in steps {
                match step {
                    Step::Destroy { card, placed } => cards[card].instances.retain(|other| other.placed != placed),
                    Step::Create { card, placed } => cards[card].instances.push(busy(&placed)),
                }
            }
            let mut still = Vec::new();
            for (profile, answer) in behind.iter().zip(&answers[1..]) {
                let Answer::Given(grant) = answer else {
                    still.push(*profile);
                    continue;
                };
                let instances = &mut cards[grant.card].instances;
                instances.iter_mut().filter(|other| other.placed == grant.placed).for_each(|other| other.is_busy = true);
            }
            behind = still;
            let ended = order.next().map_or(0, |index| index.index(running.len()));
            let (card, placed) = running.remove(ended);
            let instances = &mut cards[card].instances;
            instances.iter_mut().filter(|other| other.placed == placed).for_each(|other| other.is_busy = false);
        }
    }
}
