//! Which instances to make, and which to take away, so that those who wait for some get them.
//!
//! What is in use, and what somebody else made, stays where it is. Those who wait are served in their order. Who cannot
//! be served beside those before it holds a card: nothing there is given to those behind it, so that what runs there
//! ends, and makes room.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::geometry::Room;
use super::{Geometry, MigProfile, Placed};

/// An instance that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What and where.
    pub placed: Placed,
    /// A task has it: it stays.
    pub is_busy: bool,
    /// We made it. Those of others may be given to tasks, and are never taken away.
    pub is_ours: bool,
}

/// A card in MIG mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divided {
    /// What it can be divided into.
    pub geometry: Geometry,
    /// What it is divided into.
    pub instances: Vec<Instance>,
}

/// One who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// For an instance of this size.
    pub profile: MigProfile,
    /// The card that it held at the last plan.
    pub held: Option<usize>,
}

/// One step; cards are named by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes an instance away.
    Destroy {
        /// On which card.
        card: usize,
        /// Which.
        placed: Placed,
    },
    /// Makes one.
    Create {
        /// On which card.
        card: usize,
        /// What and where.
        placed: Placed,
    },
}

/// An instance for one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// On which card.
    pub card: usize,
    /// What and where.
    pub placed: Placed,
    /// Whether it is there already.
    pub exists: bool,
}

/// What becomes of one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It gets an instance.
    Given(Grant),
    /// It gets one on this card when enough of what runs there has ended.
    Holds(usize),
    /// Those before it hold every card that could have one.
    Behind,
    /// No card can have one beside what others made.
    Never,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order: at no time a card has more than it can have.
    pub steps: Vec<Step>,
    /// For each who waits.
    pub answers: Vec<Answer>,
}

/// Plans for those who wait, in order of priority.
///
/// An instance that is there is given before one is made, one that needs nothing taken away is made before one that
/// does, and it is made where it leaves the card the most that can still be made of it.
pub fn plan(cards: &[Divided], wanted: &[Wanted]) -> Plan {
    let mut served: Vec<Served> = Vec::new();
    let mut chosen: Vec<Grant> = Vec::new();
    let mut open = vec![true; cards.len()];
    let mut answers = Vec::with_capacity(wanted.len());
    for Wanted { profile, held } in wanted {
        served.push(Served { profile: *profile, open: open.clone() });
        // Beside what the others get already; else all of them anew.
        let grants = extend(cards, &chosen, &served).or_else(|| Search::new(cards).all(&served));
        if let Some(grants) = grants {
            chosen = grants;
            answers.push(None);
            continue;
        }
        served.pop();
        let answer = wait(cards, &chosen, *profile, *held, &open);
        if let Answer::Holds(card) = answer {
            open[card] = false;
        }
        answers.push(Some(answer));
    }
    let mut given = chosen.iter().copied().map(Answer::Given);
    let answers = answers.into_iter().filter_map(|answer| answer.or_else(|| given.next())).collect();
    Plan { steps: steps(cards, &chosen), answers }
}

/// One who is served, from the cards that were open when it was its turn.
struct Served {
    profile: MigProfile,
    open: Vec<bool>,
}

/// Which card one holds who cannot be served: the one that it held, else the one where the least is in use.
fn wait(cards: &[Divided], chosen: &[Grant], profile: MigProfile, held: Option<usize>, open: &[bool]) -> Answer {
    let could = |card: &usize| cards[*card].could_have(profile);
    if !(0..cards.len()).any(|card| could(&card)) {
        return Answer::Never;
    }
    let in_use = |card: usize| {
        let busy = cards[card].instances.iter().filter(|instance| instance.is_busy);
        let given = chosen.iter().filter(|grant| grant.card == card);
        let profiles = busy.map(|instance| instance.placed.profile).chain(given.map(|grant| grant.placed.profile));
        profiles.map(|profile| u32::from(profile.slices)).sum::<u32>()
    };
    let candidates = (0..cards.len()).filter(|card| open[*card]).filter(could);
    candidates.min_by_key(|card| (held != Some(*card), in_use(*card), *card)).map_or(Answer::Behind, Answer::Holds)
}

impl Divided {
    /// Whether it could have an instance of a size if nothing was in use.
    fn could_have(&self, profile: MigProfile) -> bool {
        let theirs = || self.instances.iter().filter(|instance| !instance.is_ours).map(|instance| &instance.placed);
        if theirs().any(|placed| placed.profile == profile) {
            return true;
        }
        let (Some(room), Some(shape)) = (self.geometry.room(theirs()), self.geometry.shape(profile)) else {
            return false;
        };
        shape.starts.iter().any(|start| room.with(&self.geometry, Placed { profile, start: *start }).is_some())
    }

    /// What is not taken away.
    fn stays(&self) -> impl Iterator<Item = &Placed> + Clone {
        self.instances.iter().filter(|instance| instance.is_busy || !instance.is_ours).map(|instance| &instance.placed)
    }
}

/// The same, and one more.
fn extend(cards: &[Divided], chosen: &[Grant], served: &[Served]) -> Option<Vec<Grant>> {
    let mut search = Search::new(cards);
    for grant in chosen {
        search.take(*grant)?;
    }
    let best = search.options(served.last()?).into_iter().next()?;
    Some(chosen.iter().copied().chain([best]).collect())
}

/// Takes away what is in the way, then makes what is not there.
fn steps(cards: &[Divided], chosen: &[Grant]) -> Vec<Step> {
    let (mut destroyed, mut created) = (Vec::new(), Vec::new());
    for (card, divided) in cards.iter().enumerate() {
        let of_card = || chosen.iter().filter(move |grant| grant.card == card);
        created
            .extend(of_card().filter(|grant| !grant.exists).map(|grant| Step::Create { card, placed: grant.placed }));
        destroyed.extend(in_the_way(divided, &of_card()).into_iter().map(|placed| Step::Destroy { card, placed }));
    }
    destroyed.into_iter().chain(created).collect()
}

/// Which of our idle instances cannot stay beside these.
fn in_the_way<'a>(card: &Divided, chosen: &(impl Iterator<Item = &'a Grant> + Clone)) -> Vec<Placed> {
    let given = chosen.clone().map(|grant| &grant.placed).filter(|placed| !card.stays().any(|stays| stays == *placed));
    let mut kept: Vec<Placed> = card.stays().chain(given).copied().collect();
    let mut gone = Vec::new();
    for instance in card.instances.iter().filter(|instance| instance.is_ours && !instance.is_busy) {
        if chosen.clone().any(|grant| grant.placed == instance.placed) {
            continue;
        }
        kept.push(instance.placed);
        if !card.geometry.is_legal(&kept) {
            kept.pop();
            gone.push(instance.placed);
        }
    }
    gone
}

/// More ways to serve all at a time than that are not tried: then the last of them waits. One card has fewer.
const MOST_TRIES: usize = 2_000;

/// Looks for places for all at a time.
struct Search<'a> {
    cards: &'a [Divided],
    /// What is left of each card beside what stays and what was given.
    rooms: Vec<Room>,
    given: Vec<Grant>,
    /// What was tried in vain.
    dead: HashSet<State>,
    tries: usize,
}

/// How many are still to be served, what is left of the cards, and what of others' instances is given.
type State = (usize, Vec<Room>, Vec<(usize, Placed)>);

impl<'a> Search<'a> {
    fn new(cards: &'a [Divided]) -> Self {
        // What cannot be at a time, and is, is of a kind that we do not know: nothing is made beside it.
        let room = |card: &Divided| card.geometry.room(card.stays()).unwrap_or(Room::FULL);
        Self { cards, rooms: cards.iter().map(room).collect(), given: Vec::new(), dead: HashSet::new(), tries: 0 }
    }

    /// Gives something; `None` where it has no place, else what was left before.
    fn take(&mut self, grant: Grant) -> Option<Room> {
        let before = self.rooms[grant.card];
        if !self.is_theirs(&grant) {
            self.rooms[grant.card] = before.with(&self.cards[grant.card].geometry, grant.placed)?;
        }
        self.given.push(grant);
        Some(before)
    }

    fn give_back(&mut self, before: Room) {
        if let Some(grant) = self.given.pop() {
            self.rooms[grant.card] = before;
        }
    }

    /// Whether it is there, and takes no room beside what stays.
    fn is_theirs(&self, grant: &Grant) -> bool {
        self.cards[grant.card].stays().any(|placed| *placed == grant.placed)
    }

    /// Everything that can be given to one who is served, the best first.
    fn options(&self, served: &Served) -> Vec<Grant> {
        let mut options: Vec<(Grant, (usize, u32))> = Vec::new();
        for card in (0..self.cards.len()).filter(|card| served.open[*card]) {
            self.existing(card, served.profile, &mut options);
            self.possible(card, served.profile, &mut options);
        }
        // The order of cards and places decides among equals.
        options.sort_by_key(|(_, worth)| *worth);
        options.into_iter().map(|(grant, _)| grant).collect()
    }

    fn existing(&self, card: usize, profile: MigProfile, options: &mut Vec<(Grant, (usize, u32))>) {
        let divided = &self.cards[card];
        for instance in divided.instances.iter().filter(|instance| !instance.is_busy) {
            let grant = Grant { card, placed: instance.placed, exists: true };
            let is_given = self.given.iter().any(|given| (given.card, given.placed) == (card, grant.placed));
            let has_room = self.is_theirs(&grant) || self.rooms[card].with(&divided.geometry, grant.placed).is_some();
            if grant.placed.profile == profile && !is_given && has_room {
                options.push((grant, (0, 0)));
            }
        }
    }

    fn possible(&self, card: usize, profile: MigProfile, options: &mut Vec<(Grant, (usize, u32))>) {
        let divided = &self.cards[card];
        for start in divided.geometry.shape(profile).map(|shape| shape.starts.as_slice()).unwrap_or_default() {
            let placed = Placed { profile, start: *start };
            let exists = divided.instances.iter().any(|instance| instance.placed == placed);
            let Some(room) = self.rooms[card].with(&divided.geometry, placed).filter(|_| !exists) else { continue };
            let grant = Grant { card, placed, exists: false };
            let of_card = self.given.iter().filter(|given| given.card == card).chain([&grant]);
            let gone = in_the_way(divided, &of_card).len();
            let lost = self.rooms[card].promise(&divided.geometry) - room.promise(&divided.geometry);
            options.push((grant, (1 + gone, lost)));
        }
    }

    /// Something for each, in their order.
    fn all(mut self, served: &[Served]) -> Option<Vec<Grant>> {
        let mut order: Vec<usize> = (0..served.len()).collect();
        // The large ones have the fewest places.
        order.sort_by_key(|at| Reverse(served[*at].profile.slices));
        let sorted: Vec<&Served> = order.iter().map(|at| &served[*at]).collect();
        if !self.find(&sorted) {
            return None;
        }
        let mut grants: Vec<(usize, Grant)> = order.into_iter().zip(self.given).collect();
        grants.sort_by_key(|(at, _)| *at);
        Some(grants.into_iter().map(|(_, grant)| grant).collect())
    }

    fn find(&mut self, served: &[&Served]) -> bool {
        let Some((first, rest)) = served.split_first() else { return true };
        let mut theirs: Vec<(usize, Placed)> = Vec::new();
        theirs.extend(self.given.iter().filter(|grant| self.is_theirs(grant)).map(|grant| (grant.card, grant.placed)));
        theirs.sort_unstable();
        let state = (served.len(), self.rooms.clone(), theirs);
        if self.dead.contains(&state) {
            return false;
        }
        for option in self.options(first) {
            self.tries += 1;
            if self.tries > MOST_TRIES {
                return false;
            }
            let Some(before) = self.take(option) else { continue };
            if self.find(rest) {
                return true;
            }
            self.give_back(before);
        }
        self.dead.insert(state);
        false
    }
}
