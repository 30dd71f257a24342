//! What holds for any arguments: nothing panics, what is written is read back, and nothing secret is shown.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use protocols::clearml::tasks::Task;
use protocols::container::{
    Argument, Concealment, ContainerSettings, ContainerSpec, Origin, SWITCHES, Switch, TaskFacts, decide, parse,
    parse_words,
};
use serde_json::json;

/// Pieces of values: what switches take, and what nobody should.
const PIECES: [&str; 46] = [
    "A=1",
    "/a:/b",
    "/a",
    "host",
    "8g",
    "1.5",
    "80:80",
    "9000-9010:9000-9010/udp",
    "[::1]:80:80",
    "all",
    "device=0,1",
    "\"device=0,1\"",
    "type=bind,src=/a,dst=/b",
    "name=n,alias=a",
    "nofile=1:2",
    "/dev/sda:1mb",
    "1m30s",
    "true",
    "false",
    "=",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    " ",
    "-",
    "--",
    "-1",
    "0",
    "99999999999999999999",
    "1e308",
    ".",
    "é",
    "\u{1f600}",
    "\0",
    "\n",
    "${CLEARML_TASK.id}",
    "$X",
    "${",
    "}",
    "container:x",
    "c 1:3 rwm",
    "NaN",
    "::1",
    "b",
];

fn a_value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::collection::vec(proptest::sample::select(PIECES.as_slice()), 0..4).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

/// A switch with a value, in one of its forms.
fn a_switch() -> impl Strategy<Value = Vec<String>> {
    (proptest::sample::select(SWITCHES), a_value(), 0..5_u8).prop_map(|(switch, value, form)| {
        let long = format!("--{}", switch.alias.filter(|_| form == 4).unwrap_or(switch.long));
        let short = switch.short.map(|letter| format!("-{letter}"));
        match (form, short) {
            (0, _) | (2 | 3, None) => vec![format!("{long}={value}")],
            (1 | 4, _) | (5.., None) => vec![long, value],
            (2, Some(short)) => vec![format!("{short}{value}")],
            (_, Some(short)) => vec![short, value],
        }
    })
}

fn some_words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![6 => a_switch(), 1 => a_value().prop_map(|value| vec![value])];
    proptest::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

/// One text, as a task has it: switches and values with and without quotes and spaces between them, or anything.
fn a_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (some_words(), a_value()).prop_map(|(words, between)| words.join(&between)),
        3 => some_words().prop_map(|words| words.join(" ")),
        1 => any::<String>(),
    ]
}

/// All that must hold for any text.
fn hold_text(text: &str) {
    match protocols::words::split(text) {
        Ok(words) => {
            assert_eq!(parse(text, Origin::Task).ok(), parse_words(words.clone(), Origin::Task).ok(), "{text:?}");
            hold(&words);
        }
        Err(_) => assert!(parse(text, Origin::Task).is_err(), "{text:?} has no words, and is read"),
    }
}

/// One of what a strategy makes.
fn drawn<T: std::fmt::Debug>(from: &impl Strategy<Value = T>, runner: &mut TestRunner) -> T {
    from.new_tree(runner).expect("it is made without conditions").current()
}

/// All that must hold for any words.
fn hold(words: &[String]) {
    let Ok(arguments) = parse_words(words.to_vec(), Origin::Task) else {
        let error = parse_words(words.to_vec(), Origin::Task).expect_err("it was an error").to_string();
        assert!(error.contains("of the task"), "{error}");
        return;
    };
    let written: Vec<String> = arguments.iter().flat_map(Argument::words).collect();
    assert_eq!(parse_words(written.clone(), Origin::Task).as_ref(), Ok(&arguments), "what is written is read back");
    let text = written.iter().fold(String::new(), |mut text, word| {
        let _ = write!(text, "'{}' ", word.replace('\'', "'\"'\"'"));
        text
    });
    assert_eq!(parse(&text, Origin::Task).as_ref(), Ok(&arguments), "and so is one text");
    let line = Concealment::default().command_line(&arguments, "image", &[]);
    assert!(protocols::words::split(&line).is_ok(), "{line}");
    if let Ok((spec, _)) = ContainerSpec::of(&arguments) {
        // The words of values that have a text of their own.
        for mount in &spec.mounts {
            assert_read_back("--mount", &mount.to_string(), |spec| spec.mounts.first() == Some(mount));
        }
        for port in &spec.ports {
            assert_read_back("-p", &port.to_string(), |spec| spec.ports.first() == Some(port));
        }
        for volume in &spec.volumes {
            assert_read_back("-v", &volume.to_string(), |spec| spec.volumes.first() == Some(volume));
        }
        for network in &spec.networks {
            assert_read_back("--network", &network.to_string(), |spec| spec.networks.first() == Some(network));
        }
        if let Some(gpus) = &spec.gpus {
            assert_read_back("--gpus", &gpus.to_string(), |spec| spec.gpus.as_ref() == Some(gpus));
        }
        let bytes = protocols::order::encode(&spec);
        assert_eq!(protocols::order::decode::<ContainerSpec>(&bytes).expect("it was just written"), spec);
    }
}

#[track_caller]
fn assert_read_back(switch: &str, text: &str, is_same: impl Fn(&ContainerSpec) -> bool) {
    let arguments = parse_words([switch.to_owned(), text.to_owned()], Origin::Task).expect("two words");
    match ContainerSpec::of(&arguments) {
        Ok((spec, _)) => assert!(is_same(&spec), "{switch} {text} is read as {spec:?}"),
        Err(error) => panic!("{switch} {text}: {error}"),
    }
}

/// A decision on any arguments ends, and no message shows a variable's value.
fn decide_on(words: &[String], extra: &[String], filters: &[String]) {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\"'\"'"))).collect();
    let container = json!({ "image": "busybox", "arguments": quoted.join(" ") });
    let task: Task = serde_json::from_value(json!({ "id": "t", "container": container })).expect("it is a task");
    let settings = ContainerSettings {
        extra_arguments: extra.to_vec(),
        filters: filters.to_vec(),
        allows_host_environment: words.len().is_multiple_of(2),
        task_precedes_extra: extra.len().is_multiple_of(2),
        ..ContainerSettings::default()
    };
    let facts = TaskFacts { task, ..TaskFacts::default() };
    if let Ok(mut decision) = decide(&settings, &facts, &|name| (name == "X").then(|| "x".to_owned())) {
        assert!(decision.messages().all(|message| !message.is_empty()));
        assert!(!decision.arguments.iter().any(|argument| argument.switch.long == "entrypoint"));
        let _ = decision.remap_ports(&(1..2000).collect(), None);
        let (again, _) = ContainerSpec::of(&decision.arguments).expect("remapped ports are ports");
        assert_eq!(again.ports, decision.spec.ports);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_words_are_read_or_refused(words in some_words()) {
        hold(&words);
    }

    #[test]
    fn any_text_is_read_or_refused(text in a_text()) {
        hold_text(&text);
    }

    #[test]
    fn any_arguments_are_decided_on(words in some_words(), extra in some_words(), filters in proptest::collection::vec(a_value(), 0..2)) {
        decide_on(&words, &extra, &filters);
    }
}

/// `make fuzz`: as long as `HOSTLER_FUZZ_SECONDS` says, with the seed `HOSTLER_FUZZ_SEED` or a new one.
#[test]
#[ignore = "runs as long as one likes: make fuzz"]
fn fuzz() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = number("HOSTLER_FUZZ_SEED").unwrap_or_else(now);
    let time = Duration::from_secs(number("HOSTLER_FUZZ_SECONDS").unwrap_or(60));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let (mut rounds, mut accepted) = (0_u64, 0_u64);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let (words, extra) = (drawn(&some_words(), &mut runner), drawn(&some_words(), &mut runner));
        let (text, filters) = (drawn(&a_text(), &mut runner), [drawn(&a_value(), &mut runner)]);
        let checked = std::panic::catch_unwind(|| {
            hold(&words);
            hold_text(&text);
            decide_on(&words, &extra, &[]);
            decide_on(&words, &extra, &filters);
        });
        assert!(
            checked.is_ok(),
            "HOSTLER_FUZZ_SEED={seed}, round {rounds}: {words:?} with {extra:?} and {filters:?}, or {text:?}"
        );
        let arguments = parse_words(words, Origin::Task);
        accepted += u64::from(arguments.is_ok_and(|arguments| ContainerSpec::of(&arguments).is_ok()));
        rounds += 1;
    }
    assert!(accepted > 0, "nothing that was tried is accepted");
    eprintln!("HOSTLER_FUZZ_SEED={seed}: {rounds} rounds, {accepted} of them accepted");
}

#[test]
fn no_name_means_two_switches() {
    let mut names: Vec<String> = Vec::new();
    for switch in SWITCHES {
        let own = [Some(switch.long.to_owned()), switch.alias.map(str::to_owned), switch.short.map(String::from)];
        for name in own.into_iter().flatten() {
            assert_eq!(Switch::find(&name).map(|found| found.long), Some(switch.long), "{name}");
            assert!(!names.contains(&name), "{name} is there twice");
            names.push(name);
        }
    }
}
