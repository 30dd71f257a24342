//! Images without Python, and the interpreters that they get.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Engine, Farm};
use crate::harness::{Draft, audit, eventually};

/// What uv may get: the interpreters of a list of the test's own, instead of those that it knows.
pub(crate) struct Downloads {
    folder: TempDir,
    /// For example `3.11`.
    pub(crate) version: String,
}

impl Downloads {
    /// The variable by which uv is told.
    pub(crate) const VARIABLE: &str = "UV_PYTHON_DOWNLOADS_JSON_URL";

    /// One for glibc, which `scripts/containers` makes.
    pub(crate) fn one() -> Self {
        let archive = std::env::var("HOSTLER_TEST_INTERPRETER").expect("`scripts/containers start` prints it");
        let archive = PathBuf::from(archive);
        let name = archive.file_name().unwrap().to_str().unwrap();
        let version = name.strip_prefix("cpython-").unwrap().strip_suffix(".tar.gz").unwrap();
        let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
        let arch = std::env::consts::ARCH;
        let download = json!({
            "name": "cpython",
            "arch": { "family": arch, "variant": null },
            "os": "linux",
            "libc": "gnu",
            "major": numbers[0],
            "minor": numbers[1],
            "patch": numbers[2],
            "prerelease": "",
            "url": format!("file://{}", archive.display()),
            "sha256": null,
            "variant": null,
        });
        let key = format!("cpython-{version}-linux-{arch}-gnu");
        Self::of(&json!({ key: download }), &format!("{}.{}", numbers[0], numbers[1]))
    }

    /// None at all.
    pub(crate) fn none() -> Self {
        Self::of(&json!({}), "")
    }

    fn of(list: &Value, version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list.json"), list.to_string()).unwrap();
        Self { folder, version: version.to_owned() }
    }

    pub(crate) fn list(&self) -> String {
        self.folder.path().join("list.json").display().to_string()
    }

    fn farm(&self, engine: &Engine, arguments: &[&str]) -> Farm {
        Farm::start_with(engine, arguments, &[(Self::VARIABLE, &self.list())])
    }

    /// A task that asks for the version, and for a package.
    fn draft(&self, name: &str) -> Draft {
        let program = "import os, sqlite3, ssl, sys, six\n\
            print('python', '%d.%d' % sys.version_info[:2], 'from', sys.base_prefix)\n\
            print('six', six.__version__, 'uid', os.getuid())\n";
        let draft = Draft::script(name, program).with("binary", format!("python{}", self.version));
        draft.requirements("six==1.16.0")
    }
}

fn got(farm: &Farm) -> PathBuf {
    farm.place.path("home/.cache/hostler/interpreters/images")
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| {
        let names = entries.flatten().map(|entry| entry.path()).filter(|path| !path.is_symlink());
        names.filter(|path| path.join("bin/python3").exists()).count()
    })
}

#[test]
fn an_image_without_python_gets_one_for_a_task_that_needs_it() {
    let downloads = Downloads::one();
    for engine in Engine::all() {
        let farm = downloads.farm(&engine, &["--workers", "1"]);
        let shell = Draft::script("shell", "echo shell\n").with("binary", "/bin/sh").with("entry_point", "program.sh");
        let task = farm.enqueue(&shell, json!({ "image": "hostler-test/plain" }));
        farm.api.ended_as(&task, "completed");
        assert!(!got(&farm).exists(), "{}", farm.api.console(&task));

        let task = farm.enqueue(&downloads.draft("first"), json!({ "image": "hostler-test/plain" }));
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        let getting = format!("Python {} is not in hostler-test/plain: getting it", downloads.version);
        assert!(console.contains(&getting) && console.contains("six 1.16.0 uid 0"), "{console}");
        let from = format!("python {} from {}", downloads.version, got(&farm).join("gnu").display());
        assert!(console.contains(&from), "{console}");
        assert_eq!(count(&got(&farm).join("gnu")), 1);
        let reported = farm.api.task(&task)["script"]["requirements"]["pip"].to_string();
        assert!(reported.contains("six==1.16.0"), "{reported}");

        // Another user of the image has it, too.
        let container = json!({ "image": "hostler-test/plain", "arguments": "--user 1234" });
        let task = farm.enqueue(&downloads.draft("second"), container);
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(!console.contains("getting it") && console.contains("reused"), "{console}");
        assert!(console.contains(&from) && console.contains("six 1.16.0 uid 1234"), "{console}");
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn a_container_that_idles_sees_what_was_got() {
    let Some(engine) = Engine::docker() else { return };
    let downloads = Downloads::one();
    let mut farm = downloads.farm(&engine, &["--workers", "1", "--warm-containers", "1"]);
    let mut consoles = Vec::new();
    for name in ["first", "second"] {
        let task = farm.enqueue(&downloads.draft(name), json!({ "image": "hostler-test/plain" }));
        farm.api.ended_as(&task, "completed");
        consoles.push(farm.api.console(&task));
        eventually("a container that idles", || {
            std::fs::read_dir(farm.place.path("state/warm/idle")).is_ok_and(|entries| entries.count() == 1)
        });
    }
    assert!(consoles[1].contains("a container that was started before is used"), "{}", consoles[1]);
    assert!(consoles.iter().all(|console| console.contains("six 1.16.0 uid 0")), "{consoles:?}");
    farm.daemon.terminate();
    farm.is_clean();
    audit(&farm.place);
}

#[test]
fn one_that_cannot_be_had_is_said_with_the_reason() {
    let Some(engine) = Engine::docker() else { return };
    let downloads = Downloads::none();
    let farm = downloads.farm(&engine, &["--workers", "1"]);
    for (image, version, why) in
        [("plain", "3.12", "-gnu"), ("musl", "3.9", "-musl"), ("static", "3.12", "neither glibc nor musl")]
    {
        let binary = if version == "3.12" { "python3".to_owned() } else { format!("python{version}") };
        let draft = Draft::script("python", "print(1)").with("binary", binary);
        let task = farm.enqueue(&draft, json!({ "image": format!("hostler-test/{image}") }));
        let reason = farm.failure(&task);
        let missing = format!(
            "no Python 3.6 or newer in the image hostler-test/{image}, and Python {version} cannot be had for it ("
        );
        assert!(reason.contains("environment failure") && reason.contains(&missing), "{reason}");
        assert!(reason.contains(why) && reason.contains("use an image that has one"), "{reason}");
    }
    farm.is_clean();
}
