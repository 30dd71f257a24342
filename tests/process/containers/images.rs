//! Images of every kind.

use serde_json::json;

use super::{Engine, Farm};
use crate::harness::Draft;

#[test]
fn an_image_with_a_user_of_its_own_keeps_it_and_may_write_where_it_works() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let program = "import os\nopen('mine', 'w').write('x')\nprint('uid', os.getuid(), os.environ['HOME'])\n\
            import six\nprint('six', six.__version__)";
        let draft = Draft::script("user", program).requirements("six==1.16.0");
        let task = farm.enqueue(&draft, json!({ "image": "hostler-test/user" }));
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(console.contains("uid 1234 /home/me") && console.contains("six 1.16.0"), "{console}");
        farm.is_clean();
    }
}

#[test]
fn an_entry_point_of_the_image_does_not_stand_in_the_way() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        let draft = Draft::script("entry", "import os; print('from image', os.environ['FROM_IMAGE'])");
        let task = farm.enqueue(&draft, json!({ "image": "hostler-test/entry" }));
        farm.api.ended_as(&task, "completed");
        let console = farm.api.console(&task);
        assert!(console.contains("from image yes") && !console.contains("entry point:"), "{console}");
    }
}

#[test]
fn an_entry_point_of_the_arguments_is_given_the_command() {
    for engine in Engine::all() {
        let allowed = [("CLEARML_AGENT__AGENT__FORBIDDEN_DOCKER_ARGS", "[]")];
        let farm = Farm::start_with(&engine, &["--workers", "1"], &allowed);
        let draft = Draft::script("wrapped", "import os; print('niceness', os.nice(0))");
        let arguments = "--entrypoint /usr/bin/nice";
        let task = farm.enqueue(&draft, json!({ "image": "hostler-test/python", "arguments": arguments }));
        farm.api.ended_as(&task, "completed");
        assert!(farm.api.console(&task).contains("niceness 10"), "{}", farm.api.console(&task));
        farm.is_clean();
    }
}

#[test]
fn a_shell_script_runs_without_python_and_with_musl() {
    for engine in Engine::all() {
        let farm = Farm::start(&engine, &["--workers", "1"]);
        for image in ["plain", "musl"] {
            let draft = Draft::script("shell", "echo \"shell in $(pwd)\"\nexit 4\n").with("binary", "/bin/sh");
            let draft = draft.with("entry_point", "program.sh");
            let task = farm.enqueue(&draft, json!({ "image": format!("hostler-test/{image}") }));
            let ended = farm.api.ended_as(&task, "failed");
            assert_eq!(ended["status_reason"], "worker execution exit code 4", "{image}: {}", farm.api.console(&task));
            assert!(farm.api.console(&task).contains("shell in /"), "{image}");
        }
        farm.is_clean();
    }
}

#[test]
fn an_image_without_a_shell_is_told_apart_from_a_broken_task() {
    let Some(engine) = Engine::docker() else { return };
    let farm = Farm::start(&engine, &["--workers", "1"]);
    let container = json!({ "image": "hostler-test/static", "setup_shell_script": "echo never" });
    let task = farm.enqueue(&Draft::script("static", "print(1)"), container);
    let reason = farm.failure(&task);
    assert!(reason.contains("the image has no shell"), "{reason}");
    farm.is_clean();
}
