//! Whose arguments count, which image, what the log shows.

use std::collections::{BTreeMap, BTreeSet};

use protocols::clearml::tasks::Task;
use protocols::container::{
    Concealment, Condition, ContainerSettings, Decision, DefaultSource, ImageSource, MatchRule, Origin, PortRange,
    Remapped, TaskFacts, container_name, decide, parse, parse_words,
};
use serde_json::json;

fn words(text: &str) -> Vec<String> {
    protocols::words::split(text).unwrap()
}

/// A task with an image and these arguments.
fn task(arguments: &str) -> TaskFacts {
    facts(json!({ "container": { "image": "busybox", "arguments": arguments } }))
}

fn facts(task: serde_json::Value) -> TaskFacts {
    let task: Task = serde_json::from_value(task).unwrap();
    TaskFacts { task, project_name: "team/vision".into(), queue_name: "gpu".into(), ..TaskFacts::default() }
}

fn host(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/root".into()),
        "X" => Some("of the host".into()),
        _ => None,
    }
}

fn decided(settings: &ContainerSettings, facts: &TaskFacts) -> Decision {
    decide(settings, facts, &host).unwrap()
}

/// The arguments that count, as one text.
fn kept(decision: &Decision) -> String {
    let words = decision.arguments.iter().flat_map(protocols::container::Argument::words);
    words.collect::<Vec<_>>().join(" ")
}

/// What counts of a task's arguments beside the operator's.
#[track_caller]
fn check(change: impl Fn(&mut ContainerSettings), extra: &str, task_arguments: &str, expected: &str) {
    let mut settings = ContainerSettings { extra_arguments: words(extra), ..ContainerSettings::default() };
    change(&mut settings);
    assert_eq!(kept(&decided(&settings, &task(task_arguments))), expected);
}

fn as_shipped(_: &mut ContainerSettings) {}

#[test]
fn filters_let_through_what_they_match_as_it_is_written() {
    let filters = |filters: &'static str| move |settings: &mut ContainerSettings| settings.filters = words(filters);
    // Recorded of the stock agent.
    check(filters("^--env$ ^-e$"), "", "-e A=1 --ipc=host -v a:b --env=Z=1 --env B=2", "-e A=1 --env B=2");
    check(filters("^-v"), "", "-v /a:/b -v/c:/d -itv /e:/f --volume /g:/h", "-v /a:/b -v/c:/d -v /e:/f");
    check(filters("--env"), "", "--env A=1 -e B=2 --env-file /x", "--env A=1 --env-file /x");
    check(filters("--network=(mine|other)$"), "", "--network=mine --ipc=host", "--network=mine");
    // The operator's own are not filtered.
    check(filters("^-e$"), "--ipc=host", "--privileged -e A=1", "--ipc=host -e A=1");
    check(filters(""), "", "--privileged", "--privileged");
    // What is no pattern lets nothing through.
    check(filters("^("), "", "-e A=1", "");
    let settings = ContainerSettings { filters: words("^-e$"), ..ContainerSettings::default() };
    let messages: Vec<String> = decided(&settings, &task("--privileged")).messages().collect();
    assert_eq!(messages, ["`--privileged` (of the task) was left out: it matches none of agent.docker_args_filters"]);
}

#[test]
fn forbidden_switches_are_taken_out_of_both_sides_in_all_their_forms() {
    check(as_shipped, "", "--entrypoint /bin/bash -e A=1", "-e A=1");
    check(as_shipped, "--entrypoint=/bin/bash -e B=2", "--entrypoint=sh -e A=1", "-e B=2 -e A=1");
    let forbidden = |names: &'static str| move |settings: &mut ContainerSettings| settings.forbidden = words(names);
    check(forbidden("network p"), "--net host", "--net=host --network mine --publish 80:80 -p81:81 -e A=1", "-e A=1");
    check(forbidden("--net"), "", "--network mine -e A=1", "-e A=1");
    check(forbidden("privileged"), "", "--privileged=false --read-only", "--read-only");
    check(forbidden(""), "", "--entrypoint sh", "--entrypoint sh");
    // Only one value is consumed; what is left is no switch.
    let error = decide(&ContainerSettings::default(), &task("--entrypoint a b -e A=1"), &host).unwrap_err();
    assert!(error.to_string().contains("`b`"), "{error}");
    let removed = decided(&ContainerSettings::default(), &task("--entrypoint sh")).removed;
    assert_eq!(removed.len(), 1);
    assert!(removed[0].to_string().contains("agent.forbidden_docker_args forbids it"));
}

#[test]
fn a_protected_switch_belongs_to_the_side_that_comes_first() {
    let task_first = |settings: &mut ContainerSettings| settings.task_precedes_extra = true;
    check(as_shipped, "--ipc=host", "--ipc=private -e A=1", "--ipc=host -e A=1");
    check(task_first, "--ipc=host", "--ipc=private -e A=1", "--ipc=private -e A=1");
    check(as_shipped, "--network=host", "--net mine", "--network=host");
    check(task_first, "--network=host -e B=2", "--net mine", "--net mine -e B=2");
    check(as_shipped, "--privileged", "--privileged=false", "--privileged");
    check(as_shipped, "--security-opt a=b", "--security-opt c=d", "--security-opt a=b");
    check(as_shipped, "-e A=1", "--ipc=private", "-e A=1 --ipc=private");
    check(as_shipped, "--ipc=host", "-e A=1", "--ipc=host -e A=1");
    let none = |settings: &mut ContainerSettings| settings.protected = Vec::new();
    check(none, "--ipc=host", "--ipc=private", "--ipc=host --ipc=private");
}

#[test]
fn of_what_is_not_protected_the_last_one_counts() {
    let shm = |settings: &ContainerSettings, arguments| decided(settings, &task(arguments)).spec.limits.shm_size;
    let mut settings = ContainerSettings { extra_arguments: words("--shm-size 1g"), ..ContainerSettings::default() };
    assert_eq!(shm(&settings, "--shm-size 2g"), Some(2 << 30));
    settings.task_precedes_extra = true;
    assert_eq!(shm(&settings, "--shm-size 2g"), Some(1 << 30));
}

#[test]
fn variables_of_the_host_are_for_those_who_may_ask() {
    let allowed = |settings: &mut ContainerSettings| settings.allows_host_environment = true;
    check(allowed, "", "-e D=$X -eE=${X}/y --env=F=$X", "-e D=of the host -eE=of the host/y --env=F=of the host");
    check(allowed, "", "-e HOME -e NOTHING", "-e HOME=/root -e NOTHING");
    check(allowed, "", "-e D=$NOTHING$ -e E=${NOTHING} -e F=a$$X", "-e D=$NOTHING$ -e E=${NOTHING} -e F=a$of the host");
    check(allowed, "", "-v /$X:/b", "-v /$X:/b");
    check(as_shipped, "", "-e D=$X -eE=${X} -e HOME", "-e D=$X -eE=${X}");
    check(as_shipped, "-e HOME -e D=$X", "", "-e HOME=/root -e D=of the host");
    let removed = decided(&ContainerSettings::default(), &task("-e HOME")).messages().collect::<Vec<_>>();
    assert!(removed[0].contains("agent.docker_allow_host_environ"), "{removed:?}");
}

#[test]
fn placeholders_are_filled_in_the_arguments_of_tasks() {
    let task = |arguments: &str| {
        facts(json!({
            "id": "t1", "name": "a b", "user": "u1", "project": "p1", "script": { "branch": "main" },
            "hyperparams": { "Args": { "lr": { "name": "lr", "value": "0.1" } } },
            "container": { "image": "busybox", "arguments": arguments },
        }))
    };
    let check = |arguments: &str, expected: &str| {
        let decision = decided(&ContainerSettings::default(), &task(arguments));
        assert_eq!(decision.spec.environment[0].1.as_deref(), Some(expected), "{arguments}");
    };
    check("-e A=${CLEARML_TASK.id}", "t1");
    check("-e A=${CLEARML_TASK_ID}", "t1");
    check("-e A=${CLEARML_TASK}", "t1");
    check("-eA=x${CLEARML_TASK.name}y", "xa by");
    check("-e A=${CLEARML_TASK.script.branch}", "main");
    check("-e A=${CLEARML_TASK.hyperparams.Args.lr.value}", "0.1");
    check("-e A=${CLEARML_QUEUE_NAME}-${CLEARML_QUEUE_NAME:none}", "gpu-gpu");
    check("-e A=${CLEARML_PROJECT.name}", "team/vision");
    check("-e A=${CLEARML_USER_NAME:nobody}", "nobody");
    check("-e A=${CLEARML_USER_ID}", "u1");
    check("-e A=${CLEARML_NOTHING}", "${CLEARML_NOTHING}");
    check("-e A=${CLEARML_TASK.id", "${CLEARML_TASK.id");
    check("-e A=${HOME}", "${HOME}");
    // A value never becomes a switch of its own.
    let injected = facts(
        json!({ "name": "x --privileged", "container": { "image": "i", "arguments": "-e A=${CLEARML_TASK.name}" } }),
    );
    assert_eq!(decided(&ContainerSettings::default(), &injected).spec.privileged, None);
}

#[test]
fn the_image_is_the_tasks_else_the_default() {
    let settings = |words_of_flag: &str| {
        let mut settings = ContainerSettings::default();
        settings.default.image = "of-the-file".into();
        settings.default.source = DefaultSource::Configuration;
        settings.default.arguments = words("--ipc=host");
        settings.set_default(&words(words_of_flag), DefaultSource::Flag);
        settings
    };
    let none = facts(json!({ "container": { "arguments": "--privileged" } }));
    let found = decided(&settings(""), &none);
    assert_eq!((found.image.as_str(), kept(&found).as_str()), ("of-the-file", "--ipc=host"));
    assert_eq!(found.source, ImageSource::Default(DefaultSource::Configuration));
    assert!(found.is_written_back);
    let found = decided(&settings("debian:12"), &none);
    assert_eq!((found.image.as_str(), kept(&found).as_str()), ("debian:12", "--ipc=host"));
    let found = decided(&settings("debian:12 --shm-size 8g"), &none);
    assert_eq!((found.image.as_str(), kept(&found).as_str()), ("debian:12", "--shm-size 8g"));
    let found = decided(&settings("debian:12"), &task("-e A=1"));
    assert_eq!((found.image.as_str(), kept(&found).as_str()), ("busybox", "-e A=1"));
    assert_eq!((found.source, found.is_written_back), (ImageSource::Task, false));
    let ignoring = ContainerSettings { ignores_task: true, ..settings("debian:12") };
    assert_eq!(decided(&ignoring, &task("-e A=1")).image, "debian:12");
    // Older tasks have the arguments behind the image.
    let found =
        decided(&settings(""), &facts(json!({ "container": { "image": "busybox -e A=1", "arguments": "-e B=2" } })));
    assert_eq!((found.image.as_str(), kept(&found).as_str()), ("busybox", "-e A=1 -e B=2"));
    let script = facts(json!({ "container": { "setup_shell_script": "if true; then\n  echo 1\nfi" } }));
    assert_eq!(decided(&settings(""), &script).setup_script, "if true; then\n  echo 1\nfi");
}

#[test]
fn rules_choose_by_what_a_task_is() {
    let rule = |image: &str, conditions: &[(&str, &[&str])]| MatchRule {
        image: image.into(),
        arguments: words("--ipc=host -e D=$X"),
        conditions: conditions
            .iter()
            .map(|(key, patterns)| Condition {
                key: (*key).into(),
                patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            })
            .collect(),
        ..MatchRule::default()
    };
    let mut settings = ContainerSettings {
        rules: vec![
            rule("by-tags", &[("tags", &["^a$", "b"]), ("project", &["^team/"])]),
            rule("by-binary", &[("script.binary", &["python3.10$"])]),
            rule("by-package", &[("script.requirements.pip.torch", &[">=2"]), ("script.requirements.pip.numpy", &[])]),
            rule("by-lines", &[("script.requirements.pip", &["^tensorflow"])]),
            rule("by-repository", &[("script.repository", &["/mine/"]), ("user_id", &["u"]), ("queue", &["gpu"])]),
            rule("by-container", &[("container", &["^busybox$"])]),
            rule("never", &[("script.brunch", &["x"])]),
        ],
        ..ContainerSettings::default()
    };
    settings.rules[5].is_forced = true;
    let image = |settings: &ContainerSettings, task| decided(settings, &facts(task)).image;
    for (expected, task) in [
        ("by-tags", json!({ "tags": ["bb", "a"] })),
        ("by-binary", json!({ "tags": ["aa", "b"], "script": { "binary": "/usr/bin/python3.10" } })),
        ("by-package", json!({ "script": { "requirements": { "pip": "numpy\ntorch==2.1.0+cu118" } } })),
        ("by-package", json!({ "script": { "requirements": { "pip": ["numpy==1", "torch >= 2.3"] } } })),
        ("by-lines", json!({ "script": { "requirements": { "pip": "torch==2.1\ntensorflow" } } })),
        ("by-repository", json!({ "user": "u1", "script": { "repository": "https://h/mine/r.git" } })),
        ("by-container", json!({ "container": { "image": "busybox", "arguments": "--privileged" } })),
        ("alpine", json!({ "container": { "image": "alpine" }, "tags": ["a", "b"] })),
        (protocols::container::SHIPPED_IMAGE, json!({ "script": { "binary": "python3.11", "branch": "x" } })),
    ] {
        assert_eq!(image(&settings, task.clone()), expected, "{task}");
    }
    let found = decided(&settings, &facts(json!({ "tags": ["a", "b"] })));
    assert_eq!((found.source, found.is_written_back), (ImageSource::Rule(1), true));
    let origins = found.arguments.iter().map(|argument| argument.origin).collect::<Vec<_>>();
    assert_eq!(origins, [Origin::Rule, Origin::Rule]);
    assert_eq!(found.spec.environment, [("D".to_owned(), Some("of the host".to_owned()))]);
    settings.set_default(&words("debian:12"), DefaultSource::Flag);
    assert_eq!(image(&settings, json!({ "tags": ["a", "b"] })), "debian:12");
}

#[test]
fn ports_that_are_taken_are_replaced() {
    let range = |text: &str| PortRange::parse(text).unwrap();
    let check = |arguments: &str, allowed: Option<&str>, expected: &str, changes: &[(&str, &str)]| {
        let mut decision = decided(&ContainerSettings::default(), &task(arguments));
        let busy: BTreeSet<u16> = [80, 8080, 9001, 10_000, 10_002].into();
        let found = decision.remap_ports(&busy, allowed.map(range)).unwrap();
        let changes = changes.iter().map(|(asked, given)| Remapped { asked: range(asked), given: range(given) });
        assert_eq!(found, changes.collect::<Vec<_>>(), "{arguments}");
        assert_eq!(decision.port_mapping(), expected, "{arguments}");
        let again = protocols::container::ContainerSpec::of(&decision.arguments).unwrap().0;
        assert_eq!(again.ports, decision.spec.ports, "the log shows what is asked for");
    };
    check("-p 5:6", None, "5:6", &[]);
    check("--publish=5:6", None, "5:6", &[]);
    check("-p 8080:80 -p 5:6", None, "10001:80,5:6", &[("8080", "10001")]);
    check("-p8080:80", None, "10001:80", &[("8080", "10001")]);
    check("-p 9000-9002:1-3", None, "10003-10005:1-3", &[("9000-9002", "10003-10005")]);
    check("-p 9000-9002:80", None, "9000-9002:80", &[]);
    check("-p 80:80/udp -p 81:81/tcp", None, "81:81", &[]);
    check("-p 80 -P", None, "", &[]);
    check("--network host -p 80:80", None, "80:80", &[]);
    check("-p 7:7", Some("20000-20010"), "20000:7", &[("7", "20000")]);
    check("-p 5:5 -p 5:6", None, "5:5,10001:6", &[("5", "10001")]);
    check("-p 127.0.0.1:8080:80", None, "10001:80", &[("8080", "10001")]);
    let mut decision = decided(&ContainerSettings::default(), &task("-p 80-83:80-83"));
    let error = decision.remap_ports(&BTreeSet::new(), Some(range("1-3"))).unwrap_err();
    assert_eq!(error.to_string(), "no 4 neighbouring ports of the host are free in 1-3");
}

#[test]
fn a_container_is_named_after_its_format() {
    let mut facts = facts(json!({ "id": "abc", "user": "u1", "script": { "branch": "a/b" } }));
    facts.worker = "host:gpu0,1".into();
    let fields: BTreeMap<String, String> =
        [("who", "user"), ("branch", "script.branch"), ("none", "x.y")].map(|(a, b)| (a.into(), b.into())).into();
    let name = |format: &str| container_name(format, &fields, &facts, "0123456789abcdef0123456789abcdef");
    assert_eq!(name("clearml-id-{task_id}-{rand_string:.8}"), Ok("clearml-id-abc-01234567".into()));
    assert_eq!(name("{worker_id}.{rand_string}"), Ok("host-gpu0-1.0123456789abcdef0123456789abcdef".into()));
    assert_eq!(name("-{who}_{branch}{none}"), Ok("u1_a-b".into()));
    assert_eq!(name("x{{{task_id}}}"), Ok("x-abc-".into()));
    for wrong in ["{tsk}", "a{task_id", "a}", "{task_id:>8}", "{none}", ""] {
        assert!(name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_log_shows_no_secret() {
    let line = |arguments: &str, concealment: &Concealment| {
        let arguments = parse(arguments, Origin::Task).unwrap();
        concealment.command_line(&arguments, "busybox", &words("sh -c 'echo 1'"))
    };
    let check = |arguments: &str, expected: &str| {
        let expected = format!("docker run {expected} busybox sh -c 'echo 1'");
        assert_eq!(line(arguments, &Concealment::default()), expected, "{arguments}");
    };
    check("-e A=1 --ipc=host", "-e A=1 --ipc=host");
    for form in ["-e ", "-e", "--env=", "-e=", "--env "] {
        let text = format!("{form}AWS_SECRET_ACCESS_KEY=hunter2");
        let shown = line(&text, &Concealment::default());
        assert!(!shown.contains("hunter2") && shown.contains("AWS_SECRET_ACCESS_KEY=****"), "{shown}");
    }
    check("--env=CLEARML_API_SECRET_KEY=k", "'--env=CLEARML_API_SECRET_KEY=********'");
    check("-e MY_TOKEN=a=b -e N=", "-e 'MY_TOKEN=********' -e N=");
    check("-e U=https://me:pw@host/x?a=b", "-e 'U=https://me:********@host/x?a=b'");
    check("-e U=https://token@host -e V=ssh://git@host", "-e 'U=https://********@host' -e V=ssh://git@host");
    check("-e 'A=it is' -l \"k=it's x\"", "-e 'A=it is' -l 'k=it'\"'\"'s x'");
    check("--log-opt splunk-token=hunter2", "--log-opt 'splunk-token=********'");
    let extra = Concealment { extra_names: vec!["MINE".into()], ..Concealment::default() };
    assert!(!line("-e MINE=hunter2", &extra).contains("hunter2"));
    assert!(!line("-e U=postgres://u:hunter2@db/x", &extra).contains("hunter2"));
    let urls = Concealment { shows_urls: true, ..Concealment::default() };
    assert!(line("-e U=https://me:pw@host", &urls).contains("me:pw@host"));
    let off = Concealment { is_off: true, ..Concealment::default() };
    assert!(line("-e AWS_SECRET_ACCESS_KEY=hunter2", &off).contains("hunter2"));
    let (spec, _) = super::spec("-e MY_TOKEN=hunter2 -l password=hunter2 --log-opt token=hunter2 -e A=b").unwrap();
    let shown = serde_json::to_string(&Concealment::default().specification(&spec)).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("[\"A\",\"b\"]"), "{shown}");
}

/// What a mount hands to a file system of another machine has passwords in it.
#[test]
fn no_password_of_a_mount_is_shown() {
    let options = "type=volume,dst=/d,volume-opt=type=cifs,\"volume-opt=o=addr=h,username=me,password=hunter2=x\"";
    let text = format!("--mount '{options}'");
    let shown = Concealment::default().command_line(&parse(&text, Origin::Task).unwrap(), "a", &[]);
    assert!(!shown.contains("hunter2") && shown.contains("username=me,password=********\"'"), "{shown}");
    let (spec, _) = super::spec(&text).unwrap();
    let shown = serde_json::to_string(&Concealment::default().specification(&spec)).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("addr=h,username=me,password=********"), "{shown}");
    let off = Concealment { is_off: true, ..Concealment::default() };
    assert!(off.command_line(&parse(&text, Origin::Task).unwrap(), "a", &[]).contains("hunter2"));
    for wrong in [
        format!("{text} -v /a:/d"),
        format!("--mount '{options},nosuch=1'"),
        format!("--mount '{options},pass=hunter2'"),
    ] {
        let error = super::spec(&wrong).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_error_names_whose_argument_it_is() {
    let settings = ContainerSettings { extra_arguments: words("--shmsize 1g"), ..ContainerSettings::default() };
    let error = decide(&settings, &task(""), &host).unwrap_err().to_string();
    assert!(error.contains("`--shmsize` (of agent.extra_docker_arguments)"), "{error}");
    let error = decide(&ContainerSettings::default(), &task("--shmsize 1g"), &host).unwrap_err().to_string();
    assert!(error.contains("(of the task)"), "{error}");
    assert!(parse_words(words("a"), Origin::Default).unwrap_err().to_string().contains("(of the default container)"));
}

#[test]
fn cards_named_for_the_device_interface_are_the_leases_matter() {
    let decision = decided(&ContainerSettings::default(), &task("--device nvidia.com/gpu=all"));
    assert!(decision.messages().any(|message| message.contains("`--device nvidia.com/gpu=all`")));
}
