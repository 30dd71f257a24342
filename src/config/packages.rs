//! What the configuration says about packages: `agent.package_manager`.

use protocols::packaging::{PackageManager, PackageSettings, TorchIndex};
use serde_json::Value;

use super::environment::Environment;
use super::tree::{Tree, TypeError, parse_flag};

/// Reads all of it. The variables that the stock agent has for the type go before the file.
pub(super) fn read(tree: &Tree, environment: &Environment) -> Result<PackageSettings, TypeError> {
    let key = |name: &str| format!("agent.package_manager.{name}");
    let flag = |name: &str| Ok(tree.flag(&key(name))?.unwrap_or(false));
    let text = |name: &str| Ok(tree.text(&key(name))?.map(|text| text.trim().to_owned()).filter(|it| !it.is_empty()));
    let texts = |name: &str| tree.texts(&key(name));
    let is_forced = |name: &str| environment.clearml(name).is_some_and(|text| parse_flag(text).unwrap_or(true));
    let manager = match (is_forced("AGENT_FORCE_POETRY"), is_forced("AGENT_FORCE_UV")) {
        (true, _) => PackageManager::Poetry,
        (false, true) => PackageManager::Uv,
        (false, false) => manager(text("type")?.as_deref())?,
    };
    let extra_flags = match environment.clearml("EXTRA_PIP_INSTALL_FLAGS") {
        Some(flags) => flags.split_whitespace().map(str::to_owned).collect(),
        None => texts("extra_pip_install_flags")?,
    };
    let resolve = match environment.clearml("AGENT_PACKAGE_PYTORCH_RESOLVE") {
        Some(resolve) => Some(resolve.to_owned()),
        None => text("pytorch_resolve")?,
    };
    Ok(PackageSettings {
        manager,
        force_files: flag("force_repo_requirements_txt")?,
        force_original: flag("force_original_requirements")?,
        extra_flags,
        priority: texts("priority_packages")?,
        priority_optional: texts("priority_optional_packages")?,
        post: texts("post_packages")?,
        post_optional: texts("post_optional_packages")?,
        torch: torch(resolve.as_deref())?,
        torch_index_template: text("extra_index_url_template")?,
        cuda: cuda(tree)?,
        poetry_version: text("poetry_version")?,
        poetry_arguments: texts("poetry_install_extra_args")?,
        poetry_in_working_dir: flag("poetry_files_from_repo_working_dir")?,
        uv_arguments: texts("uv_sync_extra_args")?,
        uv_in_working_dir: flag("uv_files_from_repo_working_dir")?,
        uv_unlocked: tree.flag(&key("uv_sync_locked_if_lock_file"))? == Some(false),
        conda_channels: texts("conda_channels")?,
    })
}

fn manager(text: Option<&str>) -> Result<PackageManager, TypeError> {
    Ok(match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("pip") => PackageManager::Pip,
        Some("uv") => PackageManager::Uv,
        Some("poetry") => PackageManager::Poetry,
        Some("conda" | "mamba" | "micromamba") => PackageManager::Conda,
        Some("none" | "system") => PackageManager::None,
        Some(other) => {
            return Err(TypeError {
                key: "agent.package_manager.type".to_owned(),
                expected: "pip, uv, poetry, conda or none",
                found: format!("{other:?}"),
            });
        }
    })
}

fn torch(text: Option<&str>) -> Result<TorchIndex, TypeError> {
    Ok(match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("pip" | "direct") => TorchIndex::Fitting,
        Some("none") => TorchIndex::Ignored,
        Some(other) => {
            return Err(TypeError {
                key: "agent.package_manager.pytorch_resolve".to_owned(),
                expected: "pip, direct or none",
                found: format!("{other:?}"),
            });
        }
    })
}

/// `agent.cuda_version` as a text: `11.8`, `118` and a number are the same.
fn cuda(tree: &Tree) -> Result<Option<String>, TypeError> {
    const KEY: &str = "agent.cuda_version";
    let text = match tree.get(KEY) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => tree.text(KEY)?.unwrap_or_default(),
    };
    let text = text.trim();
    let mut parts = text.split('.').map(str::parse::<u32>);
    let wrong = || TypeError { key: KEY.to_owned(), expected: "a version of CUDA", found: format!("{text:?}") };
    let (major, minor) = match (parts.next(), parts.next()) {
        _ if text.is_empty() => return Ok(None),
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        // Two digits are a major version, three have the minor one at their end.
        (Some(Ok(number)), None) if number >= 60 => (number / 10, number % 10),
        (Some(Ok(major)), None) => (major, 0),
        (_, _) => return Err(wrong()),
    };
    Ok((major > 0).then(|| format!("{major}.{minor}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Result<PackageSettings, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clearml.conf");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file), Environment::of(variables));
        config.map(|config| config.agent.packages).map_err(|error| error.to_string())
    }

    #[test]
    fn the_type_is_one_that_exists() {
        let manager = |text: &str| settings(&format!("agent.package_manager.type: {text}"), &[]).map(|it| it.manager);
        assert_eq!(manager("Poetry"), Ok(PackageManager::Poetry));
        assert_eq!(manager("micromamba"), Ok(PackageManager::Conda));
        assert_eq!(manager("system"), Ok(PackageManager::None));
        assert!(manager("apt").unwrap_err().contains("pip, uv, poetry, conda or none"));
        let forced = settings("agent.package_manager.type: pip", &[("CLEARML_AGENT_FORCE_UV", "1")]).unwrap();
        assert_eq!(forced.manager, PackageManager::Uv);
    }

    #[test]
    fn lists_and_flags() {
        let found = settings(
            "agent.package_manager { extra_pip_install_flags: [\"--no-cache\"], force_repo_requirements_txt: true
             priority_packages: [cython, numpy], post_optional_packages: [horovod], pytorch_resolve: none
             poetry_version: \"<2\", uv_sync_locked_if_lock_file: false }",
            &[],
        )
        .unwrap();
        let expected = PackageSettings {
            force_files: true,
            extra_flags: vec!["--no-cache".into()],
            priority: vec!["cython".into(), "numpy".into()],
            post_optional: vec!["horovod".into()],
            torch: TorchIndex::Ignored,
            poetry_version: Some("<2".into()),
            uv_unlocked: true,
            ..PackageSettings::default()
        };
        assert_eq!(found, expected);
        let flags = settings("", &[("CLEARML_EXTRA_PIP_INSTALL_FLAGS", "--a --b=c")]).unwrap().extra_flags;
        assert_eq!(flags, ["--a", "--b=c"]);
    }

    #[test]
    fn versions_of_cuda_in_every_form() {
        let cuda = |text: &str| settings(&format!("agent.cuda_version: {text}"), &[]).map(|it| it.cuda);
        for (text, expected) in
            [("11.8", "11.8"), ("\"11.8.89\"", "11.8"), ("118", "11.8"), ("\"12.10\"", "12.10"), ("10", "10.0")]
        {
            assert_eq!(cuda(text), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(cuda("0"), Ok(None));
        assert_eq!(cuda("\"\""), Ok(None));
        assert!(cuda("new").unwrap_err().contains("agent.cuda_version"));
    }
}
