//! The ssh of the agent's user, for programs of a container.

use std::io::Read as _;
use std::os::unix::net::UnixListener;

use serde_json::json;

use super::{Engine, Farm, SHORT_GRACE};
use crate::harness::{Draft, Place, Server, audit};

/// What a program in a container finds.
const LOOK: &str = "import os, socket, stat\n\
    folder = os.path.expanduser('~/.ssh')\n\
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:\n\
    \x20   path = os.path.join(folder, name)\n\
    \x20   found = os.stat(path)\n\
    \x20   print('FILE', name, oct(stat.S_IMODE(found.st_mode)), found.st_uid == os.getuid(), open(path).read())\n\
    agent = os.environ.get('SSH_AUTH_SOCK')\n\
    print('AGENT', agent)\n\
    if agent:\n\
    \x20   with socket.socket(socket.AF_UNIX) as call:\n\
    \x20       call.connect(agent)\n\
    \x20       call.sendall(b'hello')\n";

/// A farm of a person with keys.
fn farm(engine: &Engine, more: &[(&str, &str)]) -> Farm {
    let place = Place::new();
    let folder = place.path("home/.ssh");
    std::fs::create_dir(&folder).unwrap();
    for name in ["id_ed25519", "config", "known_hosts", "authorized_keys"] {
        std::fs::write(folder.join(name), format!("of {name}")).unwrap();
    }
    let server = Server::start(&place);
    let api = server.api();
    let mut environment = vec![SHORT_GRACE];
    environment.extend(more);
    let daemon = Farm::daemon(engine, &place, &server, &["--workers", "2"], &environment);
    Farm { engine: engine.clone(), place, server, api, daemon }
}

#[test]
fn keys_are_there_for_the_user_of_the_image_alone() {
    for engine in Engine::all() {
        let farm = farm(&engine, &[("SSH_AUTH_SOCK", "")]);
        let draft = Draft::script("ssh", LOOK);
        for image in ["python", "user"] {
            let task = farm.enqueue(&draft, json!({ "image": format!("hostler-test/{image}") }));
            farm.api.ended_as(&task, "completed");
            let expected =
                ["config", "id_ed25519", "known_hosts"].map(|name| format!("FILE {name} 0o600 True of {name}"));
            assert_eq!(farm.api.console_lines(&task, "FILE"), expected, "{image}: {}", farm.api.console(&task));
        }
        farm.is_clean();
        audit(&farm.place);
    }
}

#[test]
fn where_an_agent_runs_its_socket_is_there_and_no_key() {
    let Some(engine) = Engine::docker() else { return };
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("agent");
    let agent = UnixListener::bind(&path).unwrap();
    let heard = std::thread::spawn(move || {
        let mut said = String::new();
        agent.accept().unwrap().0.read_to_string(&mut said).unwrap();
        said
    });
    let farm = farm(&engine, &[("SSH_AUTH_SOCK", path.to_str().unwrap())]);
    let task = farm.enqueue(&Draft::script("ssh", LOOK), json!({ "image": "hostler-test/python" }));
    farm.api.ended_as(&task, "completed");
    assert_eq!(heard.join().unwrap(), "hello");
    let names: Vec<String> = farm.api.console_lines(&task, "FILE");
    assert_eq!(names.len(), 2, "settings and hosts: {names:?}");
    farm.is_clean();
}

#[test]
fn nothing_of_it_is_there_where_the_operator_does_not_want_that() {
    let Some(engine) = Engine::docker() else { return };
    let farm = farm(&engine, &[("CLEARML_AGENT_DISABLE_SSH_MOUNT", "1"), ("SSH_AUTH_SOCK", "/nowhere")]);
    let task = farm.enqueue(&Draft::script("ssh", LOOK), json!({ "image": "hostler-test/python" }));
    farm.api.ended_as(&task, "completed");
    assert_eq!(farm.api.console_lines(&task, "FILE"), Vec::<String>::new());
    assert_eq!(farm.api.console_lines(&task, "AGENT"), ["AGENT None"]);
    farm.is_clean();
}
