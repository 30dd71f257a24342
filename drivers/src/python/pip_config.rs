//! What pip's own configuration says about indexes: uv does not read it, and tasks expect that it counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::command::CommandRunner;

/// Settings of `[global]` and `[install]`, by name; later files and sections win.
#[derive(Default)]
pub(super) struct PipConfig(BTreeMap<String, String>);

impl PipConfig {
    /// Reads what pip would read: the machine's files, the user's, then the one that `PIP_CONFIG_FILE` names. Files
    /// that cannot be read do not count.
    pub(super) fn read(commands: &dyn CommandRunner) -> Self {
        let mut config = Self::default();
        let named = commands.variable("PIP_CONFIG_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        if named.as_deref().is_some_and(|path| path == std::path::Path::new("/dev/null")) {
            return config;
        }
        let home = commands.variable("HOME").map(PathBuf::from);
        let user = commands.variable("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        let user = user.or_else(|| Some(home.as_ref()?.join(".config")));
        let machine = [Some("/etc/xdg/pip/pip.conf".into()), Some("/etc/pip.conf".into())];
        let users = [home.map(|home| home.join(".pip/pip.conf")), user.map(|user| user.join("pip/pip.conf")), named];
        for path in machine.into_iter().chain(users).flatten() {
            if let Ok(text) = std::fs::read_to_string(path) {
                config.add(&text);
            }
        }
        config
    }

    /// A setting, for example `index-url`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes one file in. `[install]` wins over `[global]` wherever they stand.
    fn add(&mut self, text: &str) {
        for wanted in ["global", "install"] {
            let mut section = "";
            let mut name = String::new();
            for line in text.lines() {
                let trimmed = line.trim();
                if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                    continue;
                }
                if let Some(inner) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    (section, name) = (inner.trim(), String::new());
                    continue;
                }
                if section != wanted {
                    continue;
                }
                if line.starts_with(char::is_whitespace) && !name.is_empty() {
                    let value = self.0.entry(name.clone()).or_default();
                    value.push(' ');
                    value.push_str(trimmed);
                } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
                    name = key.trim().to_lowercase().replace('_', "-");
                    self.0.insert(name.clone(), value.trim().to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;

    #[test]
    fn sections_and_continued_values() {
        let mut config = PipConfig::default();
        config.add(
            "[install]\nextra_index_url =\n    https://a/s\n    https://b/s\n[global]\n# no\nindex-url: https://h/simple\n\
             extra-index-url = https://lost\ncert = /x\n[list]\nformat=json\n",
        );
        assert_eq!(config.get("index-url"), Some("https://h/simple"));
        assert_eq!(config.get("extra-index-url"), Some(" https://a/s https://b/s"));
        assert_eq!(config.get("format"), None);
    }

    #[test]
    fn the_files_of_user_and_environment_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path(".config/pip")).unwrap();
        std::fs::write(path(".config/pip/pip.conf"), "[global]\nindex-url = https://user\nno-index = true\n").unwrap();
        std::fs::write(path("named"), "[global]\nindex-url = https://named\n").unwrap();
        let environment = [("HOME".into(), folder.path().into()), ("PIP_CONFIG_FILE".into(), path("named").into())];
        let config = PipConfig::read(&SystemCommands::new(environment, Arc::default()));
        assert_eq!((config.get("index-url"), config.get("no-index")), (Some("https://named"), Some("true")));
    }
}
