use protocols::container::DefaultContainer;

use super::*;
use crate::config::Config;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<(ContainerSettings, Vec<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clearml.conf");
    std::fs::write(&file, text).unwrap();
    let variables = [variables, &[("HOME", "/home/h")]].concat();
    let config = Config::load(Some(&file), Environment::of(&variables));
    config.map(|config| (config.containers, config.container_warnings)).map_err(|error| error.to_string())
}

#[track_caller]
fn settings(text: &str, variables: &[(&str, &str)]) -> ContainerSettings {
    let (settings, warnings) = load(text, variables).unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "{text}");
    settings
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn nothing_said_is_what_the_stock_agent_ships() {
    let found = settings("", &[]);
    assert_eq!(found, ContainerSettings::default());
    assert_eq!(found.forbidden, ["entrypoint"]);
    assert_eq!(found.protected, ["privileged", "security-opt", "network", "ipc"]);
    assert!(found.default.image.starts_with("nvidia/cuda:"));
}

#[test]
fn every_key_is_read() {
    let found = settings(
        r#"agent {
            default_docker { image: "busybox:1.36", arguments: ["--ipc=host", "-v", "/a:/b"], update_back_task: false }
            extra_docker_arguments: "-e 'A=b c' --shm-size 8g"
            disable_task_docker_override: true
            docker_args_extra_precedes_task: false
            docker_args_filters: ["^--env$", "^-e$"]
            forbidden_docker_args: []
            protected_docker_extra_args: [network]
            docker_allow_host_environ: yes
            docker_args_allowed_port_range: "10000-20000"
            docker_force_pull: true
            hide_docker_command_env_vars { enabled: false, extra_keys: [MINE], parse_embedded_urls: false }
            docker_container_name_format: "hostler-{task_id}-{rand_string:.8}-{who}"
            docker_container_name_format_fields { who: user }
            docker_internal_mounts { pip_cache: /cache/pip, ssh_ro_folder: /keys }
            docker_pip_cache: ~/pip
            disable_ssh_mount: true
            extra_docker_shell_script: ["apt-get update", "if true; then", "  echo ${HOME}", "fi"]
            docker_preprocess_bash_script: ["echo ${{HOME}} {python_single_digit} {mount_ssh_ro}"]
            docker_init_bash_script: "echo ${HOME}"
        }"#,
        &[],
    );
    let expected = ContainerSettings {
        default: DefaultContainer {
            image: "busybox:1.36".into(),
            arguments: words(&["--ipc=host", "-v", "/a:/b"]),
            source: DefaultSource::Configuration,
            is_written_back: false,
        },
        ignores_task: true,
        extra_arguments: words(&["-e", "A=b c", "--shm-size", "8g"]),
        task_precedes_extra: true,
        filters: words(&["^--env$", "^-e$"]),
        forbidden: Vec::new(),
        protected: words(&["network"]),
        allows_host_environment: true,
        allowed_ports: PortRange::parse("10000-20000"),
        force_pull: true,
        concealment: Concealment { is_off: true, extra_names: words(&["MINE"]), shows_urls: true },
        name_format: Some("hostler-{task_id}-{rand_string:.8}-{who}".into()),
        name_fields: [("who".to_owned(), "user".to_owned())].into(),
        mounts: InternalMounts {
            pip_cache: InternalMount { host: Some("/home/h/pip".into()), container: "/cache/pip".into() },
            ssh_read_only: InternalMount { host: None, container: "/keys".into() },
            ..InternalMounts::default()
        },
        without_ssh: true,
        scripts: ContainerScripts {
            preprocess: Some("echo ${HOME} 3 /keys".into()),
            init: Some("echo ${HOME}".into()),
            extra: Some("apt-get update\nif true; then\n  echo ${HOME}\nfi".into()),
        },
        ..ContainerSettings::default()
    };
    assert_eq!(found, expected);
    assert_eq!(found.errors(), Vec::<String>::new());
}

#[test]
fn variables_go_before_the_file() {
    let found = settings(
        r#"agent { default_docker { image: a, arguments: "--ipc=host" }, extra_docker_arguments: ["--privileged"] }"#,
        &[
            ("CLEARML_DOCKER_IMAGE", "busybox"),
            ("CLEARML_AGENT_EXTRA_DOCKER_ARGS", "-e A='1 2'"),
            ("CLEARML_AGENT_DOCKER_ARGS_FILTERS", "^-e$ ^--env"),
            ("CLEARML_AGENT_EXTRA_DOCKER_LABELS", "team=vision,lab"),
            ("CLEARML_AGENT_DOCKER_ARGS_HIDE_ENV", "ONE, TWO"),
            ("CLEARML_DOCKER_SKIP_GPUS_FLAG", "1"),
            ("CLEARML_AGENT_DISABLE_SSH_MOUNT", "true"),
        ],
    );
    assert_eq!((found.default.image.as_str(), found.default.source), ("busybox", DefaultSource::Variable));
    assert_eq!(found.default.arguments, ["--ipc=host"]);
    assert_eq!(found.extra_arguments, ["-e", "A=1 2"]);
    assert_eq!(found.filters, ["^-e$", "^--env"]);
    assert_eq!(found.extra_labels, [("team".into(), "vision".into()), ("lab".into(), String::new())]);
    assert_eq!(found.concealment.extra_names, ["ONE", "TWO"]);
    assert!(found.skips_gpu_request && found.without_ssh);
    let found =
        settings(r#"agent.default_docker.arguments: "--ipc=host""#, &[("CLEARML_DOCKER_IMAGE", "b --privileged")]);
    assert_eq!((found.default.image.as_str(), found.default.arguments), ("b", words(&["--privileged"])));
}

#[test]
fn rules_are_flat_or_nested() {
    let found = settings(
        r#"agent.default_docker { force_container_rules: true, match_rules: [
            { image: "python:3.10", arguments: "--ipc=host -e A=1", match: { "script.binary": "python3.10$" } }
            { image: tf, force_container_rules: false, update_back_task: false
              match { project: "team/.*", tags: [a, b], script { branch: main, requirements { pip { tensorflow: "~=2.6", numpy: "" } } } } }
        ] }"#,
        &[],
    );
    let condition = |key: &str, patterns: &[&str]| Condition { key: key.into(), patterns: words(patterns) };
    let [first, second] = found.rules.as_slice() else { panic!("{:?}", found.rules) };
    assert_eq!((first.image.as_str(), &first.arguments), ("python:3.10", &words(&["--ipc=host", "-e", "A=1"])));
    assert_eq!(first.conditions, [condition("script.binary", &["python3.10$"])]);
    assert_eq!((first.is_forced, first.is_written_back), (true, None));
    assert_eq!((second.is_forced, second.is_written_back), (false, Some(false)));
    let mut conditions = second.conditions.clone();
    conditions.sort_by(|one, other| one.key.cmp(&other.key));
    let expected = [
        condition("project", &["team/.*"]),
        condition("script.branch", &["main"]),
        condition("script.requirements.pip.numpy", &[]),
        condition("script.requirements.pip.tensorflow", &["~=2.6"]),
        condition("tags", &["a", "b"]),
    ];
    assert_eq!(conditions, expected);
}

#[test]
fn what_is_not_understood_is_said() {
    let warnings = |text: &str| load(text, &[]).unwrap().1.join("\n");
    let said = warnings("agent.forbidden_docker_args: [entypoint, \"--net\", p]");
    assert!(said.contains("`entypoint` is no switch") && said.contains("is `entrypoint` meant?"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let said = warnings("agent.default_docker.match_rules: [{ image: a, match { script.brunch: x } }]");
    assert!(said.contains("rule 1") && said.contains("`script.brunch`") && said.contains("script.branch"), "{said}");
    assert!(warnings("agent.docker_nonsense: 1").contains("agent.docker_nonsense is not known"));
    assert!(warnings("agent.docker_install_opencv_libs: true").contains("extra_docker_shell_script"));
    assert!(warnings("agent.docker_use_activated_venv: true").contains("has no effect"));
}

#[test]
fn what_is_wrong_is_named_without_its_secrets() {
    let error = |text: &str| load(text, &[]).unwrap_err();
    assert!(error("agent.docker_args_allowed_port_range: \"20-10\"").contains("ports like 10000-20000"));
    assert!(error("agent.default_docker.match_rules: x").contains("a list of"));
    let unclosed = error("agent.extra_docker_arguments: \"-e 'SECRET=hunter2\"");
    assert!(unclosed.contains("agent.extra_docker_arguments") && !unclosed.contains("hunter2"), "{unclosed}");
    let errors = |text: &str| load(text, &[]).unwrap().0.errors().join("\n");
    assert!(errors("agent.extra_docker_arguments: [\"--shm-size\"]").contains("needs a value"));
    assert!(errors("agent.default_docker.arguments: [\"--shmsize=1g\"]").contains("of the default container"));
    assert!(errors("agent.docker_args_filters: [\"^(-e\"]").contains("is no regular expression"));
    assert!(errors("agent.docker_container_name_format: \"a-{tsk}\"").contains("`{tsk}` cannot be filled"));
    let rule = errors("agent.default_docker.match_rules: [{ arguments: \"-x\", match { project: \"(\" } }]");
    for part in ["names no image", "`(` is no regular expression", "`-x`"] {
        assert!(rule.contains(part), "{part}: {rule}");
    }
}
