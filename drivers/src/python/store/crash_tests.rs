//! `kill -9` at random moments of builds and evictions, by several processes at once.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::toy::{Toy, is_whole, provide};
use super::*;

/// Tells this program that it is to be killed.
const VICTIM: &str = "HOSTLER_TEST_STORE";
/// So few that most builds evict something.
const LIMITS: Limits = Limits { entries: Some(4), bytes: None, free_floor: 0 };
const KILLS: usize = 100;

fn random_toy() -> Toy {
    let number = rand::rng().random_range(0..12);
    // Two questions each have the same answer; others are not resolved at all.
    let resolved = (number < 8).then(|| format!("package=={}", number / 2));
    Toy { asked: format!("package {number}"), resolved }
}

/// Builds and evicts until it is killed.
#[test]
#[ignore = "the victim of the test below"]
fn victim() {
    let Ok(root) = std::env::var(VICTIM) else { return };
    let store = Store::new(root);
    loop {
        let found = provide(&store, &random_toy(), "victim", LIMITS);
        assert!(is_whole(&found.folder), "half an environment is used: {}", found.folder.display());
    }
}

fn start(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "python::store::crash_tests::victim", "--test-threads", "1"])
        .env(VICTIM, root)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Looks at what is in use until the moment of the next kill, which may be any.
fn watch(folder: &Path) {
    let (begun, moment) = (Instant::now(), Duration::from_micros(rand::rng().random_range(0..30_000)));
    while begun.elapsed() < moment {
        assert!(is_whole(folder), "what is in use is not removed");
    }
}

#[test]
fn a_hundred_kills_leave_nothing_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("environments"));
    let mut victims: Vec<Child> = (0..3).map(|_| start(store.root())).collect();
    let survivor = provide(&store, &Toy { asked: "survivor".into(), resolved: None }, "survivor", LIMITS);
    for kill in 0..KILLS {
        watch(&survivor.folder);
        let victim = &mut victims[kill % 3];
        assert!(victim.try_wait().unwrap().is_none(), "a victim has ended by itself: it found half an environment");
        victim.kill().unwrap();
        victim.wait().unwrap();
        *victim = start(store.root());
        if kill % 10 == 0 {
            assert_eq!(store.verify().unwrap().1, [], "after {kill} kills");
        }
    }
    for victim in &mut victims {
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    let (count, damages) = store.verify().unwrap();
    assert!(count > 0 && damages.is_empty(), "{count}: {damages:?}");
    // Whatever was left is swept, and everything can still be had.
    store.prune(&LIMITS, None).unwrap();
    assert_eq!(record::entries(&store.doomed()).unwrap().len(), 0);
    assert!(record::entries(&store.built()).unwrap().iter().all(|folder| is_whole(folder)));
    for _ in 0..20 {
        assert!(is_whole(&provide(&store, &random_toy(), "after", LIMITS).folder));
    }
}
