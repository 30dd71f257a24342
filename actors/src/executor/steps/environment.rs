//! The environment of the user's process: pure.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use protocols::order::{ExecutorOrder, MARK_VARIABLE};

/// Variables of the daemon that mean something else, or nothing, to a task.
///
/// The middle group is the stock agent's. The last one belongs to the service manager: a task that has it could
/// speak in the daemon's name.
const NOT_INHERITED: &[&str] = &[
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "__PYVENV_LAUNCHER__",
    "CLEARML_APT_INSTALL",
    "TRAINS_APT_INSTALL",
    "UV_CACHE_DIR",
    "UV_PYTHON_CACHE_DIR",
    "UV_PYTHON_INSTALL_DIR",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// Prefixes of variables that are the agent's own: its settings, and the credentials for git.
const PRIVATE_PREFIXES: &[&str] =
    &["HOSTLER_", "CLEARML_AGENT_GIT_", "TRAINS_AGENT_GIT_", "CLEARML_AGENT__", "TRAINS_AGENT__"];

/// Directories that appear in the environment.
#[derive(Clone, Debug)]
pub(super) struct Places<'a> {
    /// Where the process starts.
    pub(super) directory: &'a Path,
    /// Where its script lies.
    pub(super) entry_directory: PathBuf,
    /// Folder of the programs of its virtual environment, where it has one.
    pub(super) programs: Option<&'a Path>,
    /// The environment of conda that this is, or that is below it.
    pub(super) conda: Option<PathBuf>,
}

/// All variables of the user's process. Later ones win: inherited, the agent's for every task, the task's own, the
/// daemon's for this attempt, and the mark.
pub(super) fn compose(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    order: &ExecutorOrder,
    places: &Places<'_>,
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> =
        inherited.into_iter().filter(|(name, _)| is_inherited(name)).collect();
    for name in &order.removed_environment {
        variables.remove(OsStr::new(name));
    }
    add_all(&mut variables, order, places);
    variables
}

/// As [`compose`], for a task in a container: `inherited` is what the image and the arguments of the container say, of
/// which nothing is left out. Its GPUs have numbers of their own there, so that only their UUIDs name them.
pub(super) fn compose_in_container(
    mut variables: BTreeMap<OsString, OsString>,
    order: &ExecutorOrder,
    places: &Places<'_>,
) -> BTreeMap<OsString, OsString> {
    add_all(&mut variables, order, places);
    let gpus = order.container.as_ref().map(|container| container.gpus.as_slice()).unwrap_or_default();
    for name in ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"] {
        if gpus.iter().any(|gpu| gpu.contains('-')) {
            variables.insert(name.into(), gpus.join(",").into());
        } else if !gpus.is_empty() {
            variables.remove(OsStr::new(name));
        }
    }
    for name in ["CLEARML_CONFIG_FILE", "TRAINS_CONFIG_FILE"] {
        if variables.contains_key(OsStr::new(name)) {
            variables.insert(name.into(), super::in_container(CONFIG_FILE).into());
        }
    }
    variables
}

fn add_all(variables: &mut BTreeMap<OsString, OsString>, order: &ExecutorOrder, places: &Places<'_>) {
    add_task_variables(variables, order);
    add_text_encoding(variables);
    for (name, value) in &order.task.environment {
        if is_usable(name, value) {
            variables.insert(name.into(), value.into());
        }
    }
    for (name, value) in &order.environment {
        if is_usable(name, value) {
            variables.insert(name.into(), value.into());
        }
    }
    add_paths(variables, places);
    variables.insert(MARK_VARIABLE.into(), order.mark().into());
}

/// Name, in the container's folder in memory, of the configuration that the SDK reads.
pub(super) const CONFIG_FILE: &str = "clearml.conf";

/// Variables that the programs of a preparation do without: passwords of the agent, which git is given otherwise.
pub(super) fn is_for_programs(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !PRIVATE_PREFIXES[1..].iter().any(|prefix| name.starts_with(prefix))
}

fn is_inherited(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !NOT_INHERITED.contains(&&*name) && !PRIVATE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the kernel takes it; the rest would make the start of the process fail.
fn is_usable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// What every task of ClearML finds, under both names. The agent uploads the console, hence the SDK must not.
fn add_task_variables(variables: &mut BTreeMap<OsString, OsString>, order: &ExecutorOrder) {
    let level = ["CLEARML_LOG_LEVEL", "TRAINS_LOG_LEVEL"]
        .iter()
        .find_map(|name| variables.get(OsStr::new(name)).cloned())
        .unwrap_or_else(|| "INFO".into());
    let pairs: [(&str, OsString); 4] = [
        ("TASK_ID", order.task.id.as_str().into()),
        ("LOG_TASK_TO_BACKEND", "0".into()),
        ("LOG_LEVEL", level),
        ("WORKER_ID", order.worker.as_str().into()),
    ];
    for (name, value) in pairs {
        for product in ["CLEARML", "TRAINS"] {
            variables.insert(format!("{product}_{name}").into(), value.clone());
        }
    }
    variables.entry("CUDA_DEVICE_ORDER".into()).or_insert_with(|| "PCI_BUS_ID".into());
}

/// Under a service manager there is often no locale; Python would then print ASCII and nothing else.
fn add_text_encoding(variables: &mut BTreeMap<OsString, OsString>) {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variables.get(OsStr::new(name)).filter(|value| !value.is_empty()));
    let is_utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_lowercase();
        locale.ends_with("utf-8") || locale.ends_with("utf8")
    });
    if !is_utf8 {
        variables.entry("PYTHONIOENCODING".into()).or_insert_with(|| "utf-8".into());
    }
}

fn add_paths(variables: &mut BTreeMap<OsString, OsString>, places: &Places<'_>) {
    let python_path = joined(
        variables.get(OsStr::new("PYTHONPATH")).map(OsString::as_os_str),
        &[places.directory, &places.entry_directory],
        End::Back,
    );
    variables.insert("PYTHONPATH".into(), python_path);
    let of_conda = places.conda.as_ref().map(|environment| environment.join("bin"));
    let folders: Vec<&Path> = places.programs.into_iter().chain(of_conda.as_deref()).collect();
    if !folders.is_empty() {
        let path = joined(variables.get(OsStr::new("PATH")).map(OsString::as_os_str), &folders, End::Front);
        variables.insert("PATH".into(), path);
    }
    if let Some(environment) = &places.conda {
        variables.insert("CONDA_PREFIX".into(), environment.into());
    }
    let own = places.programs.and_then(Path::parent).filter(|own| places.conda.as_deref() != Some(own));
    if let Some(environment) = own {
        variables.insert("VIRTUAL_ENV".into(), environment.into());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

/// A search path with more directories at one end, without empty entries and without any entry twice. A directory
/// that a search path cannot hold (there is a colon in its name) is left out.
fn joined(path: Option<&OsStr>, more: &[&Path], end: End) -> OsString {
    let old = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    let more = more.iter().map(|path| path.to_path_buf());
    let all: Vec<PathBuf> = match end {
        End::Front => more.chain(old).collect(),
        End::Back => old.into_iter().chain(more).collect(),
    };
    let mut kept: Vec<PathBuf> = Vec::new();
    for directory in all {
        let fits = !directory.as_os_str().is_empty() && !directory.as_os_str().as_encoded_bytes().contains(&b':');
        if fits && !kept.contains(&directory) {
            kept.push(directory);
        }
    }
    std::env::join_paths(kept).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::fixtures;

    fn order() -> ExecutorOrder {
        let mut order = fixtures::order("/a".as_ref());
        order.task.environment = [("MINE", "1"), ("CUDA_VISIBLE_DEVICES", "7"), ("BAD=NAME", "x"), ("NUL", "a\0b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        order.environment = BTreeMap::from([("CUDA_VISIBLE_DEVICES".into(), "0".into())]);
        order.removed_environment = vec!["CLEARML_CONFIG_FILE".into()];
        order
    }

    fn composed(inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        composed_over(None, inherited)
    }

    fn composed_over(conda: Option<PathBuf>, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let places = Places {
            directory: Path::new("/code"),
            entry_directory: "/code/sub".into(),
            programs: Some(Path::new("/env/bin")),
            conda,
        };
        let inherited = inherited.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        compose(inherited, &order(), &places)
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn a_task_finds_what_the_sdk_looks_for() {
        let variables = composed(&[("CLEARML_LOG_LEVEL", "DEBUG"), ("PATH", "/usr/bin:/bin")]);
        for (name, value) in [
            ("CLEARML_TASK_ID", "task"),
            ("TRAINS_TASK_ID", "task"),
            ("CLEARML_LOG_TASK_TO_BACKEND", "0"),
            ("TRAINS_LOG_TASK_TO_BACKEND", "0"),
            ("TRAINS_LOG_LEVEL", "DEBUG"),
            ("CLEARML_WORKER_ID", "host:0"),
            ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
            ("PATH", "/env/bin:/usr/bin:/bin"),
            ("VIRTUAL_ENV", "/env"),
            ("PYTHONPATH", "/code:/code/sub"),
            ("MINE", "1"),
            (MARK_VARIABLE, "task.3.1"),
        ] {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn the_daemon_wins_over_the_task_and_the_task_over_what_is_inherited() {
        let variables = composed(&[("CUDA_VISIBLE_DEVICES", "1,2"), ("MINE", "0")]);
        assert_eq!(variables["CUDA_VISIBLE_DEVICES"], "0");
        assert_eq!(variables["MINE"], "1");
        assert!(!variables.contains_key("BAD=NAME") && !variables.contains_key("NUL"));
    }

    #[test]
    fn secrets_and_settings_of_the_agent_stay_with_it() {
        let private = [
            "CLEARML_AGENT_GIT_USER",
            "CLEARML_AGENT_GIT_PASS",
            "TRAINS_AGENT_GIT_PASS",
            "CLEARML_AGENT__AGENT__GIT_PASS",
            "HOSTLER_STATE_DIR",
            "CLEARML_CONFIG_FILE",
            "UV_CACHE_DIR",
            "NOTIFY_SOCKET",
            "PYTHONHOME",
        ];
        let inherited: Vec<_> = private.iter().map(|name| (*name, "x")).chain([("KEPT", "x")]).collect();
        let variables = composed(&inherited);
        for name in private {
            assert!(!variables.contains_key(name), "{name}");
        }
        assert_eq!(variables["KEPT"], "x");
    }

    #[test]
    fn search_paths_have_no_empty_entries_and_none_twice() {
        let variables = composed(&[("PYTHONPATH", ":/lib::/code"), ("PATH", "/env/bin:/bin:")]);
        assert_eq!(variables["PYTHONPATH"], "/lib:/code:/code/sub");
        assert_eq!(variables["PATH"], "/env/bin:/bin");
    }

    #[test]
    fn an_environment_of_conda_is_named_with_its_layer_and_without() {
        let names = |environment: &str| {
            let variables = composed_over(Some(environment.into()), &[("PATH", "/bin")]);
            let get = |name: &str| variables.get(name).cloned().unwrap_or_default();
            (get("PATH"), get("CONDA_PREFIX"), get("VIRTUAL_ENV"))
        };
        assert_eq!(names("/conda"), ("/env/bin:/conda/bin:/bin".into(), "/conda".into(), "/env".into()));
        assert_eq!(names("/env"), ("/env/bin:/bin".into(), "/env".into(), String::new()));
    }

    #[test]
    fn a_task_prints_utf8_where_the_locale_does_not_say_so() {
        assert_eq!(composed(&[("LANG", "C")])["PYTHONIOENCODING"], "utf-8");
        assert_eq!(composed(&[("LANG", "C"), ("PYTHONIOENCODING", "latin-1")])["PYTHONIOENCODING"], "latin-1");
        assert!(!composed(&[("LANG", "en_US.UTF-8")]).contains_key("PYTHONIOENCODING"));
    }
}
