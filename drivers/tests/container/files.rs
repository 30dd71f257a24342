//! Giving files away, and looking at an image.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use protocols::container::init::{FromInit, LibcFlavour};

use crate::inside::{Inside, PATIENCE, Place, can_unshare};

fn owner(path: &Path) -> (u32, u32) {
    let metadata = path.symlink_metadata().unwrap();
    (metadata.uid(), metadata.gid())
}

#[test]
fn files_go_to_the_agents_user_and_nothing_behind_a_link_does() {
    if !can_unshare() {
        return;
    }
    let inside = Inside::start(Place::First);
    let (given, outside) = (inside.path("given"), inside.path("outside"));
    for folder in [&given.join("deep/er"), &outside] {
        std::fs::create_dir_all(folder).unwrap();
    }
    for file in [given.join("deep/er/file"), outside.join("secret")] {
        std::fs::write(file, "x").unwrap();
    }
    symlink(&outside, given.join("link")).unwrap();
    symlink(outside.join("secret"), given.join("deep/link")).unwrap();
    let before = owner(&outside);

    let given_away = inside.link.own(&[given.clone(), inside.path("missing")], 4321, 4322).unwrap();
    assert_eq!((given_away.changed, given_away.error), (6, None));
    for path in ["", "deep", "deep/er", "deep/er/file", "deep/link", "link"] {
        assert_eq!(owner(&given.join(path)), (4321, 4322), "{path}");
    }
    assert_eq!((owner(&outside), owner(&outside.join("secret"))), (before, before));
    assert_eq!(inside.link.own(&[given], 4321, 4322).unwrap().changed, 0, "there is nothing left to do");
}

#[test]
fn what_the_task_wrote_is_given_away_before_its_end_is_reported() {
    if !can_unshare() {
        return;
    }
    let inside = Inside::start(Place::First);
    let made = inside.path("made");
    std::fs::create_dir(&made).unwrap();
    let gift = inside.link.own_at_end(std::slice::from_ref(&made), 4321, 4322).unwrap();
    let main = inside.main(&format!("umask 077; mkdir {0}/sub; echo x >{0}/sub/file", made.display()));
    main.end();
    assert_eq!(owner(&made.join("sub/file")), (4321, 4322));
    assert!(matches!(gift.next(PATIENCE).unwrap(), Some(FromInit::Owned { changed: 3, error: None, .. })));
}

#[test]
fn what_cannot_be_given_is_named() {
    if !can_unshare() {
        return;
    }
    let inside = Inside::start(Place::FirstAsUser(1234));
    let file = inside.path("file");
    std::fs::write(&file, "x").unwrap();
    let given_away = inside.link.own(std::slice::from_ref(&file), 4321, 4322).unwrap();
    assert_eq!(given_away.changed, 0);
    let error = given_away.error.unwrap();
    assert!(error.starts_with(&format!("cannot give {} to uid 4321: ", file.display())), "{error}");
}

#[test]
fn an_image_is_looked_at() {
    let inside = Inside::start(Place::Beside);
    let strange = inside.path("bin");
    std::fs::create_dir(&strange).unwrap();
    for name in ["python3.99", "python3-config", "python"] {
        symlink("/bin/sh", strange.join(name)).unwrap();
    }
    let probe = inside.link.probe(format!("{}:relative", strange.display())).unwrap();
    assert_eq!(probe.libc.unwrap().flavour, LibcFlavour::Glibc);
    assert!(probe.shells.contains(&"/bin/sh".into()));
    assert_eq!(&probe.pythons[..2], [strange.join("python3.99").into(), strange.join("python").into()]);
    assert!(!probe.is_read_only && probe.has_proc);
    let found = inside.link.find("sh", "/bin:relative:/no/such:/usr/bin").unwrap();
    assert!(found.contains(&"/bin/sh".into()), "{found:?}");
    assert!(inside.link.find("/etc/passwd", "").unwrap().is_empty());
}
