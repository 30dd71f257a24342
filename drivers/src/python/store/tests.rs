//! The store's promises, with environments that cost nothing.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::toy::{Toy, is_whole, provide};
use super::*;
use crate::file_lock::FileLock;

const NO_LIMITS: Limits = Limits { entries: None, bytes: None, free_floor: 0 };

fn plain(name: &str) -> Toy {
    Toy { asked: name.into(), resolved: None }
}

fn resolved(name: &str, to: &str) -> Toy {
    Toy { asked: name.into(), resolved: Some(to.into()) }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("environments"));
    (folder, store)
}

#[test]
fn questions_with_the_same_answer_share_an_environment() {
    let (_folder, store) = store();
    let first = provide(&store, &resolved("numpy", "numpy==2.1"), "a", NO_LIMITS);
    assert_eq!(first.outcome, Outcome::Built);
    for (toy, outcome) in [
        (resolved("numpy", "numpy==2.1"), Outcome::Hit),
        (resolved("numpy>=2", "numpy==2.1"), Outcome::Shared),
        (resolved("numpy>=2", "numpy==2.1"), Outcome::Hit),
        // What a clone of the first task asks for.
        (plain("numpy==2.1"), Outcome::Hit),
        (resolved("numpy>=3", "numpy==3.0"), Outcome::Built),
    ] {
        let found = provide(&store, &toy, "b", NO_LIMITS);
        assert_eq!(found.outcome, outcome, "{}", toy.asked);
        assert_eq!(found.id == first.id, toy.resolved.as_deref() != Some("numpy==3.0"));
    }
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn an_evicted_environment_is_made_of_the_same_versions_again() {
    let (_folder, store) = store();
    let ask = |name: &str, to: &str| provide(&store, &resolved(name, to), "a", NO_LIMITS);
    let id = ask("numpy", "numpy==2.1").id;
    assert!(store.remove(&id).unwrap());
    let again = ask("numpy", "numpy==2.2");
    assert_eq!((again.outcome, &again.id), (Outcome::Built, &id));
    assert_eq!(again.ready.packages, ["numpy==2.1"]);
    // And is known by what it has.
    let other = ask("numpy<3", "numpy==2.1");
    assert_eq!((other.outcome, other.id), (Outcome::Shared, again.id));
}

#[test]
fn what_may_have_moved_is_resolved_each_time() {
    let (_folder, store) = store();
    let ask = |to: &str| provide(&store, &resolved("x@main", to), "t", NO_LIMITS);
    let first = ask("x@1");
    assert_eq!(ask("x@1").id, first.id);
    let second = ask("x@2");
    assert_eq!((second.outcome, second.ready.packages), (Outcome::Built, vec!["x@2".to_owned()]));
    assert_eq!(ask("x@1").id, first.id);
    // Where it cannot be resolved beforehand it is what it was.
    assert_eq!(provide(&store, &plain("y@main"), "t", NO_LIMITS).outcome, Outcome::Built);
    assert_eq!(provide(&store, &plain("y@main"), "t", NO_LIMITS).outcome, Outcome::Hit);
}

#[test]
fn why_names_the_input_that_differs() {
    let (_folder, store) = store();
    let first = provide(&store, &plain("numpy==1"), "first", NO_LIMITS);
    provide(&store, &plain("numpy==2"), "second", NO_LIMITS);
    let why = store.why("second").unwrap();
    assert_eq!((why.record.outcome, why.now.is_some()), (Outcome::Built, true));
    let nearest = why.record.nearest.unwrap();
    assert_eq!((nearest.environment, nearest.task.as_str()), (first.id, "first"));
    assert_eq!(nearest.difference.here, ["requirement: numpy==2"]);
    assert_eq!(nearest.difference.there, ["requirement: numpy==1"]);
    assert!(store.why("third").is_none());
    store.remove(&why.record.environment).unwrap();
    assert!(store.why("second").unwrap().nearest_now.is_some());
    // An id from outside leads nowhere else.
    provide(&store, &plain("numpy==2"), "../../x", NO_LIMITS);
    assert!(store.why("../../x").is_some() && store.root().join("tasks/______x.json").exists());
}

#[test]
fn fifty_environments_under_a_limit_and_eight_in_use() {
    let (_folder, store) = store();
    let first = provide(&store, &plain("first"), "first", NO_LIMITS).id;
    let one = store.entry(&first).unwrap().bytes;
    let limits = Limits { bytes: Some(12 * one), ..NO_LIMITS };
    let leased: Vec<Found> =
        (0..8).map(|number| provide(&store, &plain(&format!("leased {number}")), "t", limits)).collect();
    let others = Mutex::new((0..42).collect::<Vec<u32>>());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(number) = { others.lock().unwrap().pop() } {
                    let found = provide(&store, &plain(&format!("other {number}")), "t", limits);
                    assert!(is_whole(&found.folder));
                }
            });
        }
    });
    store.evict(&limits).unwrap();
    let left = store.list().unwrap();
    assert!((9..=12).contains(&left.len()), "{} are left", left.len());
    assert!(leased.iter().all(|found| is_whole(&found.folder)));
    // Least recently used goes first: what was used last is still there.
    assert!(left.iter().any(|entry| entry.ready.question.lines()[1].contains("other")));
    drop(leased);
    let tight = Limits { bytes: Some(1), ..NO_LIMITS };
    store.evict(&tight).unwrap();
    assert_eq!(store.list().unwrap().len(), 1, "the last one stays");
    assert_eq!(store.verify().unwrap(), (1, vec![]));
}

#[test]
fn a_disk_that_is_too_full_costs_environments_one_by_one() {
    let (_folder, store) = store();
    for number in 0..5 {
        provide(&store, &plain(&format!("{number}")), "t", NO_LIMITS);
    }
    let held = provide(&store, &plain("0"), "t", NO_LIMITS);
    // In uv's cache one package is in an environment that is in use, one in none.
    let archive = store.root().with_file_name("uv").join("archive-v0");
    fs::create_dir_all(archive.join("linked")).unwrap();
    fs::create_dir_all(archive.join("alone")).unwrap();
    fs::hard_link(held.folder.join("venv/lib/python3/site-packages/0.py"), archive.join("linked/0.py")).unwrap();
    fs::write(archive.join("alone/0.py"), "").unwrap();
    fs::write(archive.with_file_name(".lock"), "").unwrap();
    // So it is in conda's caches, of which one is in use.
    let conda = store.root().with_file_name("conda");
    let [free, busy] = ["1/3/packages", "2/1/packages"].map(|name| conda.join(name));
    for packages in [&free, &busy] {
        fs::create_dir_all(packages.join("linked-1.0-0")).unwrap();
        fs::write(packages.join("alone-1.0-0.conda"), "").unwrap();
    }
    fs::hard_link(archive.join("linked/0.py"), free.join("linked-1.0-0/0.py")).unwrap();
    fs::write(conda.join("1.lock"), "").unwrap();
    let _used = FileLock::try_acquire(&conda.join("2.lock")).unwrap().unwrap();
    let pruned = store.evict(&Limits { free_floor: u64::MAX, ..NO_LIMITS }).unwrap();
    assert_eq!(pruned.environments.len(), 4);
    assert!(is_whole(&held.folder));
    assert!(archive.join("linked").exists() && !archive.join("alone").exists());
    assert!(free.join("linked-1.0-0").exists() && !free.join("alone-1.0-0.conda").exists());
    assert!(busy.join("alone-1.0-0.conda").exists());
    assert!(store.evict(&Limits { entries: Some(1), ..NO_LIMITS }).unwrap().environments.is_empty());
}

#[test]
fn prune_removes_what_was_not_used_and_what_was_left() {
    let (_folder, store) = store();
    let old = provide(&store, &plain("old"), "t", NO_LIMITS);
    let (id, file) = (old.id.clone(), old.folder.join(LAST_USED_FILE));
    let held = provide(&store, &plain("held"), "t", NO_LIMITS);
    for path in [&file, &held.folder.join(LAST_USED_FILE)] {
        fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    fs::create_dir_all(store.folder("half/venv")).unwrap();
    fs::create_dir_all(store.doomed().join("x")).unwrap();
    fs::create_dir_all(store.scratch("y")).unwrap();
    let since = SystemTime::now() - Duration::from_secs(60);
    assert!(store.prune(&NO_LIMITS, Some(since)).unwrap().environments.is_empty(), "both are in use");
    drop(old);
    fs::create_dir_all(store.folder("half/venv")).unwrap();
    let pruned = store.prune(&NO_LIMITS, Some(since)).unwrap();
    assert_eq!((pruned.environments, pruned.remains), (vec![id], 1));
    assert!(!store.folder("half").exists() && !store.scratch("y").exists());
}

#[test]
fn verify_sees_what_was_changed_and_what_is_gone() {
    let (_folder, store) = store();
    let found = provide(&store, &plain("a"), "t", NO_LIMITS);
    assert_eq!(store.verify().unwrap(), (1, vec![]));
    let packages = found.folder.join("venv/lib/python3/site-packages");
    // Nobody but root could write into it.
    assert_eq!(fs::metadata(packages.join("3.py")).unwrap().permissions().mode() & 0o222, 0);
    fs::set_permissions(&packages, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(packages.join("3.py")).unwrap();
    fs::write(packages.join("3.py"), "changed").unwrap();
    // Another name of the file is in uv's cache, beside a package that is as it was.
    let archive = store.root().with_file_name("uv").join("archive-v0");
    for (package, file) in [("changed", "3.py"), ("as-it-was", "5.py")] {
        fs::create_dir_all(archive.join(package)).unwrap();
        fs::hard_link(packages.join(file), archive.join(package).join(file)).unwrap();
    }
    fs::write(archive.with_file_name(".lock"), "").unwrap();
    fs::remove_file(packages.join("4.py")).unwrap();
    let (_, damages) = store.verify().unwrap();
    let what: Vec<&str> = damages.iter().map(|damage| damage.what.as_str()).collect();
    assert!(what.len() == 2 && what[0].ends_with("3.py has been changed") && what[1].contains("4.py"), "{what:?}");
    let uv = File::open(archive.with_file_name(".lock")).unwrap();
    uv.lock_shared().unwrap();
    assert_eq!(store.remove_downloads_of(&damages).unwrap(), None, "uv is at work");
    drop(uv);
    assert_eq!(store.remove_downloads_of(&damages).unwrap(), Some(1));
    assert!(!archive.join("changed").exists() && archive.join("as-it-was").exists());
}

#[test]
fn what_a_killed_uv_had_not_unpacked_to_its_end_is_removed() {
    let (_folder, store) = store();
    let cache = store.root().with_file_name("uv");
    fs::create_dir_all(cache.join(".tmpAbCdEf/torch")).unwrap();
    fs::create_dir_all(cache.join("archive-v0/whole")).unwrap();
    fs::write(cache.join(".lock"), "").unwrap();
    let uv = File::open(cache.join(".lock")).unwrap();
    uv.lock_shared().unwrap();
    assert_eq!(store.prune(&NO_LIMITS, None).unwrap().remains, 0);
    assert!(cache.join(".tmpAbCdEf").exists(), "uv is at work");
    drop(uv);
    assert_eq!(store.prune(&NO_LIMITS, None).unwrap().remains, 1);
    assert!(!cache.join(".tmpAbCdEf").exists() && cache.join("archive-v0/whole").exists());
}
