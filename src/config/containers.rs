//! What the configuration says about containers: `agent.default_docker`, `agent.docker_*` and their like.

use protocols::container::{
    Concealment, Condition, ContainerScripts, ContainerSettings, DefaultSource, InternalMount, InternalMounts,
    MatchRule, PortRange, fill_format,
};
use protocols::words::split;
use serde_json::{Map, Value};

use super::environment::Environment;
use super::tree::{Tree, TypeError, parse_flag};

const RULES: &str = "agent.default_docker.match_rules";
const PORTS: &str = "agent.docker_args_allowed_port_range";

/// Keys of `agent` that begin with `docker_` and mean something here.
const KEYS: [&str; 14] = [
    "docker_allow_host_environ",
    "docker_apt_cache",
    "docker_args_allowed_port_range",
    "docker_args_extra_precedes_task",
    "docker_args_filters",
    "docker_container_name_format",
    "docker_container_name_format_fields",
    "docker_force_pull",
    "docker_init_bash_script",
    "docker_install_opencv_libs",
    "docker_internal_mounts",
    "docker_pip_cache",
    "docker_poetry_cache",
    "docker_preprocess_bash_script",
];

/// Keys of the stock agent that there is nothing for here, and why.
const IDLE: [(&str, &str); 2] = [
    ("docker_apply_environment_from_vault", "it belongs to the vaults of the paid server"),
    ("docker_use_activated_venv", "an environment of the image is seen from the one that is built on it in any case"),
];

/// Reads all of it, and which of its keys do nothing, one sentence each. Variables go before the file.
pub(super) fn read(tree: &Tree, environment: &Environment) -> Result<(ContainerSettings, Vec<String>), TypeError> {
    let shipped = ContainerSettings::default();
    let flag = |name: &str| Ok(tree.flag(&format!("agent.{name}"))?.unwrap_or(false));
    let is_set = |name: &str| environment.clearml(name).is_some_and(|text| parse_flag(text).unwrap_or(true));
    let list = |name: &str, otherwise: &Vec<String>| match tree.get(&format!("agent.{name}")) {
        None => Ok(otherwise.clone()),
        Some(_) => tree.texts(&format!("agent.{name}")),
    };
    let extra_arguments = match environment.clearml("AGENT_EXTRA_DOCKER_ARGS") {
        Some(text) => split_text("CLEARML_AGENT_EXTRA_DOCKER_ARGS", text)?,
        None => words(tree, "agent.extra_docker_arguments")?,
    };
    let filters = match environment.clearml("AGENT_DOCKER_ARGS_FILTERS") {
        Some(text) => split_text("CLEARML_AGENT_DOCKER_ARGS_FILTERS", text)?,
        None => tree.texts("agent.docker_args_filters")?,
    };
    let mut settings = ContainerSettings {
        default: shipped.default,
        rules: rules(tree)?,
        ignores_task: flag("disable_task_docker_override")?,
        extra_arguments,
        task_precedes_extra: tree.flag("agent.docker_args_extra_precedes_task")? == Some(false),
        filters,
        forbidden: list("forbidden_docker_args", &shipped.forbidden)?,
        protected: list("protected_docker_extra_args", &shipped.protected)?,
        allows_host_environment: flag("docker_allow_host_environ")?,
        allowed_ports: ports(tree)?,
        force_pull: flag("docker_force_pull")?,
        scripts: ContainerScripts::default(),
        concealment: concealment(tree, environment)?,
        name_format: tree.text("agent.docker_container_name_format")?,
        name_fields: texts_by_name(tree, "agent.docker_container_name_format_fields")?,
        mounts: mounts(tree, environment)?,
        extra_labels: environment.clearml("AGENT_EXTRA_DOCKER_LABELS").map(labels).unwrap_or_default(),
        skips_gpu_request: is_set("DOCKER_SKIP_GPUS_FLAG"),
        without_ssh: is_set("AGENT_DISABLE_SSH_MOUNT") || flag("disable_ssh_mount")?,
    };
    settings.scripts = scripts(tree, &settings.mounts)?;
    default_container(&mut settings, tree, environment)?;
    let mut warnings = settings.warnings();
    warnings.extend(idle_keys(tree)?);
    Ok((settings, warnings))
}

/// `CLEARML_DOCKER_IMAGE` goes before `default_docker.image`; both may have arguments behind the image.
fn default_container(
    settings: &mut ContainerSettings,
    tree: &Tree,
    environment: &Environment,
) -> Result<(), TypeError> {
    settings.default.arguments = words(tree, "agent.default_docker.arguments")?;
    settings.default.is_written_back = tree.flag("agent.default_docker.update_back_task")?.unwrap_or(true);
    let key = "agent.default_docker.image";
    if let Some(image) = tree.text(key)? {
        settings.set_default(&split_text(key, &image)?, DefaultSource::Configuration);
    }
    if let Some(image) = environment.clearml("DOCKER_IMAGE") {
        settings.set_default(&split_text("CLEARML_DOCKER_IMAGE", image)?, DefaultSource::Variable);
    }
    Ok(())
}

/// Words: a list of them, or one text.
fn words(tree: &Tree, key: &str) -> Result<Vec<String>, TypeError> {
    match tree.get(key) {
        Some(Value::String(text)) => split_text(key, text),
        _ => tree.texts(key),
    }
}

fn split_text(key: &str, text: &str) -> Result<Vec<String>, TypeError> {
    let wrong = |error: protocols::words::WordsError| TypeError {
        key: key.to_owned(),
        expected: "words, with quotes that are closed",
        // Not the text: there may be a secret in it.
        found: format!("a text of which {error}"),
    };
    split(text).map_err(wrong)
}

/// `[{ image: .., arguments: .., match: { "script.binary": "python3.10$", tags: [a, b] } }]`; what is below `match` may
/// be nested.
fn rules(tree: &Tree) -> Result<Vec<MatchRule>, TypeError> {
    let wrong = |expected| TypeError { key: RULES.to_owned(), expected, found: "something else".to_owned() };
    let all_forced = tree.flag("agent.default_docker.force_container_rules")?.unwrap_or(false);
    let entries = match tree.get(RULES) {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(wrong("a list of `{ image, arguments, match }`")),
    };
    let mut rules = Vec::new();
    for entry in entries {
        let fields = entry.as_object().ok_or_else(|| wrong("a list of `{ image, arguments, match }`"))?;
        // As a tree of its own, so that values are read like all others.
        let mut own = Tree::default();
        own.lay_over(fields.clone());
        let mut conditions = Vec::new();
        if let Some(matched) = fields.get("match").filter(|matched| !matched.is_null()) {
            let matched = matched.as_object().ok_or_else(|| wrong("rules whose `match` is a section"))?;
            flatten(matched, "", &mut conditions)?;
        }
        rules.push(MatchRule {
            image: own.text("image")?.unwrap_or_default(),
            arguments: words(&own, "arguments")?,
            conditions,
            is_forced: own.flag("force_container_rules")?.unwrap_or(all_forced),
            is_written_back: own.flag("update_back_task")?,
        });
    }
    Ok(rules)
}

fn flatten(fields: &Map<String, Value>, above: &str, conditions: &mut Vec<Condition>) -> Result<(), TypeError> {
    for (name, value) in fields {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let patterns = match value {
            Value::Object(fields) => {
                flatten(fields, &key, conditions)?;
                continue;
            }
            Value::Array(items) => items.iter().map(pattern).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![pattern(value)],
        };
        let patterns: Option<Vec<String>> = patterns.into_iter().collect();
        let patterns = patterns.ok_or_else(|| TypeError {
            key: format!("{RULES}: {key}"),
            expected: "a regular expression, or a list of them",
            found: "something else".to_owned(),
        })?;
        conditions.push(Condition { key, patterns: patterns.into_iter().filter(|text| !text.is_empty()).collect() });
    }
    Ok(())
}

fn pattern(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// `10000-20000`, or a list of both.
fn ports(tree: &Tree) -> Result<Option<PortRange>, TypeError> {
    let text = match tree.get(PORTS) {
        None => return Ok(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Array(ends)) => {
            let ends: Vec<String> = ends.iter().map(|end| end.to_string().trim_matches('"').to_owned()).collect();
            ends.join("-")
        }
        Some(other) => other.to_string(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let range = PortRange::parse(&text).filter(|range| range.first > 0);
    let wrong = || TypeError { key: PORTS.to_owned(), expected: "ports like 10000-20000", found: format!("{text:?}") };
    range.map(Some).ok_or_else(wrong)
}

fn concealment(tree: &Tree, environment: &Environment) -> Result<Concealment, TypeError> {
    let key = |name: &str| format!("agent.hide_docker_command_env_vars.{name}");
    let mut extra_names = tree.texts(&key("extra_keys"))?;
    if let Some(names) = environment.clearml("AGENT_DOCKER_ARGS_HIDE_ENV") {
        extra_names.extend(separated(names).map(str::to_owned));
    }
    Ok(Concealment {
        is_off: tree.flag(&key("enabled"))? == Some(false),
        extra_names,
        shows_urls: tree.flag(&key("parse_embedded_urls"))? == Some(false),
    })
}

fn labels(text: &str) -> Vec<(String, String)> {
    let pair = |label: &str| {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        (name.to_owned(), value.to_owned())
    };
    separated(text).map(pair).collect()
}

/// What stands between commas, semicolons and spaces.
fn separated(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter.is_whitespace() || ",;".contains(letter)).filter(|part| !part.is_empty())
}

fn texts_by_name(tree: &Tree, key: &str) -> Result<std::collections::BTreeMap<String, String>, TypeError> {
    let Some(section) = tree.object(key)? else { return Ok(std::collections::BTreeMap::new()) };
    let text = |name: &String| Ok((name.clone(), tree.text(&format!("{key}.{name}"))?.unwrap_or_default()));
    section.keys().map(text).collect()
}

fn mounts(tree: &Tree, environment: &Environment) -> Result<InternalMounts, TypeError> {
    let shipped = InternalMounts::default();
    let mount = |name: &str, host: &str, shipped: InternalMount| -> Result<InternalMount, TypeError> {
        let container = tree.text(&format!("agent.docker_internal_mounts.{name}"))?.unwrap_or(shipped.container);
        let host = if host.is_empty() { None } else { tree.text(host)? };
        let host = host.map(|host| environment.expand_path(&host).to_string_lossy().into_owned());
        Ok(InternalMount { host, container })
    };
    Ok(InternalMounts {
        sdk_cache: mount("sdk_cache", "sdk.storage.cache.default_base_dir", shipped.sdk_cache)?,
        apt_cache: mount("apt_cache", "agent.docker_apt_cache", shipped.apt_cache)?,
        pip_cache: mount("pip_cache", "agent.docker_pip_cache", shipped.pip_cache)?,
        pip_download: mount("pip_download", "agent.pip_download_cache.path", shipped.pip_download)?,
        vcs_cache: mount("vcs_cache", "agent.vcs_cache.path", shipped.vcs_cache)?,
        venv_build: mount("venv_build", "agent.venvs_dir", shipped.venv_build)?,
        poetry_cache: mount("poetry_cache", "agent.docker_poetry_cache", shipped.poetry_cache)?,
        ssh: mount("ssh_folder", "", shipped.ssh)?,
        ssh_read_only: mount("ssh_ro_folder", "", shipped.ssh_read_only)?,
    })
}

/// Scripts as lists of lines or as texts. The first two are formats of Python for the stock agent, with doubled braces
/// and a few names; what is no such format is taken as it stands.
fn scripts(tree: &Tree, mounts: &InternalMounts) -> Result<ContainerScripts, TypeError> {
    let script = |name: &str| -> Result<Option<String>, TypeError> {
        let text = tree.texts(&format!("agent.{name}"))?.join("\n");
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    };
    let named = |name: &str| match name {
        "python_single_digit" => Some("3".to_owned()),
        "mount_ssh" => Some(mounts.ssh.container.clone()),
        "mount_ssh_ro" => Some(mounts.ssh_read_only.container.clone()),
        "mount_git_ro" => Some(format!("{}.git", mounts.ssh_read_only.container)),
        _ => None,
    };
    let filled = |script: Option<String>| script.map(|script| fill_format(&script, named).unwrap_or(script));
    Ok(ContainerScripts {
        preprocess: filled(script("docker_preprocess_bash_script")?),
        init: filled(script("docker_init_bash_script")?),
        extra: script("extra_docker_shell_script")?,
    })
}

/// Keys of the section that do nothing.
fn idle_keys(tree: &Tree) -> Result<Vec<String>, TypeError> {
    let mut warnings = Vec::new();
    let Some(section) = tree.object("agent")? else { return Ok(warnings) };
    for name in section.keys().filter(|name| name.starts_with("docker_") && !KEYS.contains(&name.as_str())) {
        warnings.push(match IDLE.iter().find(|(idle, _)| idle == name) {
            Some((_, why)) => format!("agent.{name} has no effect: {why}"),
            None => format!("agent.{name} is not known"),
        });
    }
    if tree.flag("agent.docker_install_opencv_libs")? == Some(true) {
        let instead = "have them in the image, or install them in agent.extra_docker_shell_script";
        warnings.push(format!(
            "agent.docker_install_opencv_libs has no effect: nothing is installed into containers; {instead}"
        ));
    }
    Ok(warnings)
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
