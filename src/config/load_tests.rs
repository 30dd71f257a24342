//! Precedence and errors of the configuration.

use std::time::Duration;

use serde_json::json;

use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::create_dir_all(home.0.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(home.0.path().join(name), text).unwrap();
        }
        home
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let home = self.0.path().to_str().unwrap();
        let variables: Vec<_> = [("HOME", home)].into_iter().chain(variables.iter().copied()).collect();
        Config::load(None, Environment::of(&variables))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

const FILE: &str = "api { api_server: http://file:8008\n credentials { access_key: FK, secret_key: FS } }\nagent.worker_name: from-file\n";

#[test]
fn a_file_is_enough() {
    let server = Home::new(&[("clearml.conf", FILE)]).load(&[]).unwrap().server().unwrap();
    assert_eq!(server.hosts.api, "http://file:8008");
    assert_eq!(server.hosts.files.as_deref(), Some("http://file:8081"));
    assert!(server.verify_certificate);
    assert_eq!(server.credentials, Credentials::Key { access_key: "FK".to_owned(), secret_key: Secret::new("FS") });
}

#[test]
fn the_environment_wins_over_files_and_the_new_name_over_the_old() {
    let home = Home::new(&[("clearml.conf", FILE)]);
    let config = home
        .load(&[
            ("TRAINS_API_HOST", "http://old:8008"),
            ("CLEARML_API_HOST", "http://new:8008"),
            ("CLEARML_API_ACCESS_KEY", ""),
            ("TRAINS_API_ACCESS_KEY", "EK"),
            ("CLEARML_API_HOST_VERIFY_CERT", "0"),
            ("CLEARML_WORKER_NAME", "from-env"),
        ])
        .unwrap();
    let server = config.server().unwrap();
    assert_eq!(server.hosts.api, "http://new:8008");
    assert_eq!(server.credentials, Credentials::Key { access_key: "EK".to_owned(), secret_key: Secret::new("FS") });
    assert!(!server.verify_certificate);
    assert_eq!(config.agent.worker_name.as_deref(), Some("from-env"));
}

#[test]
fn files_merge_keys_lie_over_them_and_a_named_file_replaces_them() {
    let home = Home::new(&[
        ("trains.conf", "agent { worker_name: old, git_user: u, git_host: h }"),
        ("clearml.conf", "agent { worker_name: new }"),
        ("other.conf", "agent.git_host: other"),
    ]);
    let agent = home.load(&[("CLEARML_AGENT__AGENT__GIT_HOST", "from-key")]).unwrap().agent;
    assert_eq!(
        (agent.worker_name.as_deref(), agent.git.user.as_deref(), agent.git.host.as_deref()),
        (Some("new"), Some("u"), Some("from-key"))
    );
    let both = [("CLEARML_AGENT__AGENT__GIT_HOST", "from-key"), ("CLEARML_AGENT_GIT_HOST", "mapped")];
    assert_eq!(home.load(&both).unwrap().agent.git.host.as_deref(), Some("mapped"));
    let config = home.load(&[("CLEARML_CONFIG_FILE", &home.path("other.conf"))]).unwrap();
    assert_eq!(config.agent.worker_name, None);
    let named = Config::load(Some(home.0.path().join("trains.conf").as_path()), config.environment).unwrap();
    assert_eq!(named.agent.worker_name.as_deref(), Some("old"));
}

#[test]
fn a_key_variable_is_hocon() {
    let home = Home::new(&[]);
    let urls = ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__EXTRA_INDEX_URL", "[\"https://a/simple\", https://b/simple]");
    let config = home.load(&[urls, ("CLEARML_AGENT__AGENT__ENABLE_TASK_ENV", "true")]).unwrap();
    assert_eq!(config.agent.extra_index_urls, ["https://a/simple", "https://b/simple"]);
    assert!(config.agent.enable_task_env);
}

#[test]
fn a_file_that_is_named_must_exist() {
    let home = Home::new(&[("clearml.conf", FILE)]);
    let error = home.load(&[("TRAINS_CONFIG_FILE", "/nowhere/x.conf")]).expect_err("no such file");
    assert!(matches!(error, ConfigError::File(HoconError::Read { .. })), "{error:?}");
}

#[test]
fn the_file_of_hostler_up_is_the_last_resort() {
    let of_up = ".local/state/hostler/clearml.conf";
    let home = Home::new(&[(of_up, FILE)]);
    assert_eq!(home.load(&[]).unwrap().server().unwrap().hosts.api, "http://file:8008");
    assert!(home.load(&[("CLEARML_API_HOST", "http://elsewhere")]).unwrap().files.is_empty());
    let home = Home::new(&[(of_up, FILE), ("clearml.conf", "api.api_server: \"http://mine:8008\"")]);
    assert!(
        matches!(home.load(&[]).unwrap().server(), Err(ConfigError::NoCredentials { server, .. }) if server == "http://mine:8008")
    );
}

#[test]
fn what_is_missing_is_told_with_where_it_may_be_set() {
    let config = Home::new(&[]).load(&[]).unwrap();
    let error = config.server().expect_err("no server").to_string();
    for place in ["CLEARML_API_HOST", "api.api_server", "~/clearml.conf", "hostler up"] {
        assert!(error.contains(place), "{error}");
    }
    let config = Home::new(&[("clearml.conf", "api.host: http://h")]).load(&[]).unwrap();
    let error = config.server().expect_err("no credentials").to_string();
    assert!(error.contains("CLEARML_API_ACCESS_KEY") && error.contains("http://h"), "{error}");
}

#[test]
fn our_section_takes_our_keys_only() {
    let home = Home::new(&[("clearml.conf", "agent.hostler { stop_grace: 2.5, cache_dir: ~/c }")]);
    let config = home.load(&[]).unwrap();
    assert_eq!(config.hostler.stop_grace, Duration::from_millis(2500));
    assert_eq!(config.cache_dir(None).unwrap(), home.0.path().join("c"));
    assert_eq!(config.state_dir(None).unwrap(), home.0.path().join(".local/state/hostler/daemon"));
    assert!(config.hostler.prefetch, "on unless it is switched off");
    let off = Home::new(&[("clearml.conf", "agent.hostler.prefetch: off")]).load(&[]).unwrap();
    assert!(!off.hostler.prefetch);
    let warm = |text: &str| Home::new(&[("clearml.conf", text)]).load(&[]);
    assert_eq!(warm("agent.hostler.warm_containers: 3").unwrap().hostler.warm_containers, Some(3));
    for wrong in ["2.5", "-1", "1000"] {
        let error = warm(&format!("agent.hostler.warm_containers: {wrong}")).expect_err("too many").to_string();
        assert!(error.contains("`agent.hostler.warm_containers` must be a whole number up to 256"), "{error}");
    }
    let error = Home::new(&[("clearml.conf", "agent.hostler.stop_gracee: 1")]).load(&[]).expect_err("typo").to_string();
    assert!(
        error.contains("agent.hostler.stop_gracee") && error.contains("stop_grace, warm_containers, without_uv"),
        "{error}"
    );
    let error =
        Home::new(&[("clearml.conf", "agent.hostler.stop_grace: soon")]).load(&[]).expect_err("type").to_string();
    assert!(error.contains("`agent.hostler.stop_grace` must be a number of seconds"), "{error}");
}

#[test]
fn gpus_are_looked_after_as_configured() {
    let read = |text: &str| Home::new(&[("clearml.conf", text)]).load(&[]);
    let gpus = read("agent.hostler { gpu_foreign: wait, gpu_probation: 0.5, gpu_requeues: 0 }").unwrap().hostler.gpus;
    assert_eq!(gpus.foreign, Some(crate::cli::ForeignArg::Wait));
    assert_eq!((gpus.probation, gpus.requeues), (Some(Duration::from_millis(500)), Some(0)));
    for (text, expected) in [
        ("gpu_foreign: shoot", "must be wait, warn or ignore"),
        ("gpu_requeues: -1", "a number, 0 for never"),
        ("gpu_watch_interval: 0", "a number of seconds above 0"),
        ("gpu_watches: 1", "gpu_watch_interval"),
    ] {
        let error = read(&format!("agent.hostler.{text}")).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn certificates_are_checked_unless_told_otherwise() {
    let check = |text: &str| {
        let server = Home::new(&[("clearml.conf", &format!("{FILE}api.verify_certificate: {text}"))])
            .load(&[])
            .unwrap()
            .server();
        server.map(|server| (server.verify_certificate, server.certificates)).unwrap()
    };
    assert_eq!(check("False"), (false, None));
    assert_eq!(check("/etc/ca.pem"), (true, Some("/etc/ca.pem".into())));
}

#[test]
fn tasks_get_what_is_in_force_without_the_git_password() {
    let home = Home::new(&[(
        "clearml.conf",
        &format!(
            "{FILE}agent {{ git_user: u, git_pass: p, package_manager {{ extra_index_url: [\"https://u:p@h\"]\n\
             conda_channels: [\"https://h/t/x/c\"], extra_pip_install_flags: [\"--index-url=https://u:p@h\"], \
             type: pip }} }}\nsdk.x: 1"
        ),
    )]);
    let config = home.load(&[("CLEARML_API_SECRET_KEY", "ES")]).unwrap();
    let server = config.server().unwrap();
    assert_eq!(
        config.for_tasks(&server),
        json!({
            "api": {
                "api_server": "http://file:8008", "web_server": "http://file:8080", "files_server": "http://file:8081",
                "credentials": {"access_key": "FK", "secret_key": "ES"}
            },
            "agent": {"worker_name": "from-file", "git_user": "u", "package_manager": {"type": "pip"}}, "sdk": {"x": 1}
        })
    );
}

#[test]
fn secrets_are_not_shown() {
    let home = Home::new(&[("clearml.conf", &format!("{FILE}agent.git_pass: hunter2"))]);
    let config = home.load(&[("CLEARML_API_SECRET_KEY", "hunter3")]).unwrap();
    let text = format!("{config:?} {:?}", config.server().unwrap());
    assert!(!text.contains("hunter") && !text.contains("FS"), "{text}");
}

#[test]
fn the_section_environment_is_for_tasks() {
    let home = Home::new(&[("clearml.conf", "environment { A: 1, B: null }")]);
    let environment = home.load(&[]).unwrap().agent.environment;
    assert_eq!(environment, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), String::new())].into());
}
