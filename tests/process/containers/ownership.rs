//! Whose files are that a task writes, when its agent is nobody special: the engine is root's, or is the user's own and
//! maps users by itself.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::rootless::of_others;
use super::{Engine, Farm};
use crate::harness::{Draft, User, audit, eventually, is_alive, kill};

/// A farm of an unprivileged user, which knows of the engine what such a user knows.
fn farm(engine: &Engine) -> Farm {
    if engine.flag == "--podman" {
        return super::rootless::farm(engine, &["--workers", "1"]).0;
    }
    Farm::start(engine, &["--workers", "1"])
}

/// Docker of root, and Podman of the user.
fn engines() -> impl Iterator<Item = Engine> {
    Engine::of_group().into_iter().chain(Engine::rootless())
}

/// Nothing is left of its tasks, and nothing that is there is anybody else's.
fn is_left_clean(farm: &Farm) {
    farm.is_clean();
    let attempts = farm.place.path("state/attempts");
    eventually("no folder of an attempt", || attempts.read_dir().unwrap().next().is_none());
    belongs_to(farm, &farm.place.path("state"));
    belongs_to(farm, &farm.place.path("home"));
    audit(&farm.place);
}

fn belongs_to(farm: &Farm, folder: &Path) {
    let user: User = farm.engine.user.unwrap();
    assert_eq!(of_others(folder, user), Vec::<PathBuf>::new(), "files of others");
}

/// Leaves files where a task may write: in its folder, one that its agent could not enter; in the cache of the SDK, if it
/// may.
const WRITER: &str = "import os\n\
    os.makedirs('deep/er')\nopen('deep/er/mine', 'w').write('x')\nos.chmod('deep', 0o700)\n\
    try:\n    os.makedirs('/clearml_agent_cache/of-mine/deep', exist_ok=True)\n    print('cached', flush=True)\n\
    except PermissionError:\n    pass\n\
    print('wrote', os.getuid(), flush=True)\n";

#[test]
fn what_root_and_users_of_images_write_is_the_agents_in_the_end() {
    for engine in engines() {
        let farm = farm(&engine);
        for image in ["hostler-test/python", "hostler-test/user"] {
            let task = farm.enqueue(&Draft::script("writes", WRITER), json!({ "image": image }));
            farm.api.ended_as(&task, "completed");
            let console = farm.api.console(&task);
            assert!(console.contains("wrote"), "{console}");
            assert!(console.contains("cached") || image.ends_with("user"), "{console}");
        }
        is_left_clean(&farm);
    }
}

/// `--userns=keep-id`: the agent's user is the same number in the container.
#[test]
fn with_keep_id_a_task_is_its_agents_user_and_one_of_the_image_is_not() {
    let Some(engine) = Engine::rootless() else { return };
    let farm = farm(&engine);
    let user = engine.user.unwrap();
    for (image, uid) in [("hostler-test/python", user.uid), ("hostler-test/user", 1234)] {
        let container = json!({ "image": image, "arguments": "--userns=keep-id" });
        let program = format!("import six\nprint('six', six.__version__)\n{WRITER}");
        let draft = Draft::script("keeps", &program).requirements("six==1.16.0");
        let task = farm.enqueue(&draft, container);
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(console.contains(&format!("wrote {uid}")) && console.contains("six 1.16.0"), "{console}");
    }
    is_left_clean(&farm);
}

/// `kill -9` of an executor, with its daemon and without: nobody ran the end of the container.
#[test]
fn what_a_task_leaves_whose_executor_is_killed_is_removed_with_it() {
    for engine in engines() {
        let mut farm = farm(&engine);
        for (image, daemon_dies) in [("hostler-test/user", false), ("hostler-test/python", true)] {
            let draft = Draft::script("killed", &format!("{WRITER}__import__('time').sleep(600)\n"));
            let task = farm.enqueue(&draft, json!({ "image": image }));
            eventually("a task that has written", || farm.api.console(&task).contains("wrote"));
            let executor = farm.daemon.executor_of(&task).pid;
            if daemon_dies {
                farm.daemon.kill();
            }
            kill(executor);
            eventually("the end of an executor", || !is_alive(executor));
            if daemon_dies {
                let session = Path::new(engine.address.trim_start_matches("unix://")).ancestors().nth(2).unwrap();
                let session = [("XDG_RUNTIME_DIR", session.to_str().unwrap())];
                let more = if engine.flag == "--podman" { session.as_slice() } else { &[] };
                farm.again_with(&["--workers", "1"], more);
            }
            let ended = farm.api.ended_as(&task, "failed");
            assert!(ended["status_reason"].as_str().unwrap().contains("infrastructure"), "{ended}");
        }
        is_left_clean(&farm);
    }
}
