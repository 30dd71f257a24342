//! The kinds of cards, as NVIDIA's documents describe them.

/// A kind of card.
#[derive(Debug)]
pub(crate) struct Model {
    /// What a scenario calls it.
    pub(crate) key: &'static str,
    /// What the library calls it.
    pub(crate) name: &'static str,
    pub(crate) memory_mib: u64,
    pub(crate) compute_capability: (i32, i32),
    pub(crate) power_limit_watts: u32,
    pub(crate) has_nvlink: bool,
    /// The ways to divide it; none for a card without MIG.
    pub(crate) profiles: &'static [Profile],
}

/// A size of a GPU instance.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Its name without memory: `1g`, `1g+me`; one with twice the memory of its slices is `1g.2x`.
    pub(crate) kind: &'static str,
    pub(crate) compute_slices: u32,
    pub(crate) memory_slices: u32,
    /// What a device's name says, in GB.
    pub(crate) gigabytes: u32,
    /// The memory slices that an instance of this size can begin at.
    pub(crate) starts: &'static [u32],
    /// How many of them a card can have.
    pub(crate) most: usize,
}

impl Profile {
    /// As in a device's name: `1g.10gb`, `1g.10gb+me`.
    pub(crate) fn name(&self) -> String {
        let (slices, extra) = self.kind.split_once('+').unwrap_or((self.kind, ""));
        let slices = slices.trim_end_matches(".2x");
        let plus = if extra.is_empty() { String::new() } else { format!("+{extra}") };
        format!("{slices}.{}gb{plus}", self.gigabytes)
    }
}

const fn profile(
    kind: &'static str,
    slices: (u32, u32),
    gigabytes: u32,
    starts: &'static [u32],
    most: usize,
) -> Profile {
    Profile { kind, compute_slices: slices.0, memory_slices: slices.1, gigabytes, starts, most }
}

/// Seven compute slices and eight memory slices. Three compute slices take half of the memory.
const fn seven_slices(gigabytes: [u32; 5]) -> [Profile; 7] {
    let [one, two, four, eight, double] = gigabytes;
    [
        profile("1g", (1, 1), one, &[0, 1, 2, 3, 4, 5, 6], 7),
        profile("1g+me", (1, 1), one, &[0, 1, 2, 3, 4, 5, 6], 1),
        profile("1g.2x", (1, 2), double, &[0, 2, 4, 6], 4),
        profile("2g", (2, 2), two, &[0, 2, 4], 3),
        profile("3g", (3, 4), four, &[0, 4], 2),
        profile("4g", (4, 4), four, &[0], 1),
        profile("7g", (7, 8), eight, &[0], 1),
    ]
}

static OF_40_GB: [Profile; 7] = seven_slices([5, 10, 20, 40, 10]);
static OF_80_GB: [Profile; 7] = seven_slices([10, 20, 40, 80, 20]);
static OF_141_GB: [Profile; 7] = seven_slices([18, 35, 71, 141, 35]);
static OF_A30: [Profile; 4] = [
    profile("1g", (1, 1), 6, &[0, 1, 2, 3], 4),
    profile("1g+me", (1, 1), 6, &[0, 1, 2, 3], 1),
    profile("2g", (2, 2), 12, &[0, 2], 2),
    profile("4g", (4, 4), 24, &[0], 1),
];

static MODELS: [Model; 8] = [
    model("A30", "NVIDIA A30", 24_576, (8, 0), 165, false, &OF_A30),
    model("A100-40GB", "NVIDIA A100-SXM4-40GB", 40_960, (8, 0), 400, true, &OF_40_GB),
    model("A100", "NVIDIA A100-SXM4-80GB", 81_920, (8, 0), 400, true, &OF_80_GB),
    model("H100", "NVIDIA H100 80GB HBM3", 81_559, (9, 0), 700, true, &OF_80_GB),
    model("H200", "NVIDIA H200", 143_771, (9, 0), 700, true, &OF_141_GB),
    model("L4", "NVIDIA L4", 23_034, (8, 9), 72, false, &[]),
    model("L40S", "NVIDIA L40S", 46_068, (8, 9), 350, false, &[]),
    model("RTX4090", "NVIDIA GeForce RTX 4090", 24_564, (8, 9), 450, false, &[]),
];

const fn model(
    key: &'static str,
    name: &'static str,
    memory_mib: u64,
    compute_capability: (i32, i32),
    power_limit_watts: u32,
    has_nvlink: bool,
    profiles: &'static [Profile],
) -> Model {
    Model { key, name, memory_mib, compute_capability, power_limit_watts, has_nvlink, profiles }
}

impl Model {
    pub(crate) fn named(key: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.key.eq_ignore_ascii_case(key))
    }

    /// What can be named, for a person who named something else.
    pub(crate) fn keys() -> String {
        MODELS.iter().map(|model| model.key).collect::<Vec<_>>().join(", ")
    }

    /// How many memory slices it has.
    pub(crate) fn memory_slices(&self) -> u32 {
        self.profiles.iter().map(|profile| profile.memory_slices).max().unwrap_or(0)
    }

    /// How many compute slices it has.
    pub(crate) fn compute_slices(&self) -> u32 {
        self.profiles.iter().map(|profile| profile.compute_slices).max().unwrap_or(0)
    }
}
