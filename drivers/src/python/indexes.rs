//! Where packages come from: what pip's variables and files, the agent's configuration and the requirement lines
//! say, told to either installer through variables of its process. Passwords in URLs stay out of everything else.

use std::ffi::OsString;
use std::path::Path;

use protocols::order::PythonSettings;

use super::pip_config::PipConfig;
use super::requirement_line::is_remote;
use super::requirements::Requirements;
use crate::command::CommandRunner;
use crate::scrub::{Scrubber, scrub_urls};

/// Variables of the environment that change what is installed. The names that only one installer reads count too: an
/// environment may be built by either.
const DECIDING_VARIABLES: [&str; 14] = [
    "PIP_CONSTRAINT",
    "PIP_NO_BINARY",
    "PIP_ONLY_BINARY",
    "PIP_PRE",
    "UV_CONSTRAINT",
    "UV_DEFAULT_INDEX",
    "UV_EXCLUDE_NEWER",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
];

/// Where packages come from. Not `Debug`: there are secrets in it.
#[derive(Default)]
pub(super) struct Indexes {
    primary: Option<String>,
    extra: Vec<String>,
    find_links: Vec<String>,
    trusted_hosts: Vec<String>,
    is_without_index: bool,
    is_without_cache: bool,
    certificates: Option<String>,
    /// Values of [`DECIDING_VARIABLES`].
    deciding: Vec<(&'static str, String)>,
    scrubber: Scrubber,
}

impl Indexes {
    /// Collects all of it. Variables win over files, as they do for pip.
    pub(super) fn gather(settings: &PythonSettings, requirements: &Requirements, commands: &dyn CommandRunner) -> Self {
        let config = PipConfig::read(commands);
        let text = |name: &str| commands.variable(name)?.into_string().ok().filter(|value| !value.trim().is_empty());
        let pip = |variable: &str, key: &str| text(variable).or_else(|| config.get(key).map(str::to_owned));
        let words = |value: Option<String>| -> Vec<String> {
            value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let mut extra = settings.extra_index_urls.clone();
        extra.extend(words(pip("PIP_EXTRA_INDEX_URL", "extra-index-url")));
        let mut indexes = Self {
            primary: pip("PIP_INDEX_URL", "index-url"),
            extra,
            find_links: words(pip("PIP_FIND_LINKS", "find-links")),
            trusted_hosts: words(pip("PIP_TRUSTED_HOST", "trusted-host")),
            is_without_index: pip("PIP_NO_INDEX", "no-index").is_some_and(|value| is_true(&value)),
            is_without_cache: settings.store.without_download_cache,
            certificates: pip("PIP_CERT", "cert"),
            deciding: DECIDING_VARIABLES.iter().filter_map(|name| Some((*name, text(name)?))).collect(),
            scrubber: Scrubber::default(),
        };
        indexes.trusted_hosts.extend(requirements.values("--trusted-host").map(str::to_owned));
        let urls = indexes.primary.iter().chain(&indexes.extra).chain(&indexes.find_links).map(String::as_str);
        let urls = urls.chain(indexes.deciding.iter().map(|(_, value)| value.as_str())).chain(requirements.texts());
        let mut scrubber = Scrubber::default();
        for word in urls.flat_map(str::split_whitespace) {
            scrubber.add_url(word);
        }
        indexes.scrubber = scrubber;
        indexes
    }

    /// Knows the secrets of all URLs.
    pub(super) fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Whether packages come from elsewhere than where everybody gets them.
    pub(super) fn has_own(&self) -> bool {
        let names = ["UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_INDEX_URL"];
        let is_named = self.deciding.iter().any(|(name, _)| names.contains(name));
        self.primary.is_some() || !self.extra.is_empty() || is_named
    }

    /// Lines that are equal for equal indexes, without secrets.
    pub(super) fn canonical(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.primary.iter().map(|url| format!("index: {url}")));
        lines.extend(self.extra.iter().map(|url| format!("extra index: {url}")));
        lines.extend(self.find_links.iter().map(|place| format!("find links: {place}")));
        lines.extend(self.is_without_index.then(|| "index: none".to_owned()));
        lines.extend(self.deciding.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.iter().map(|line| scrub_urls(line)).collect()
    }

    /// Variables for a pip process, which reads everything else itself.
    pub(super) fn pip_variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("PIP_DISABLE_PIP_VERSION_CHECK".into(), "1".into()),
            ("PIP_NO_INPUT".into(), "1".into()),
            ("PIP_NO_COLOR".into(), "1".into()),
            // The user's habits must not lead the installation elsewhere.
            ("PIP_USER".into(), "0".into()),
            ("PIP_REQUIRE_VIRTUALENV".into(), "0".into()),
        ];
        if self.is_without_cache {
            variables.push(("PIP_NO_CACHE_DIR".into(), "1".into()));
        }
        if !self.extra.is_empty() {
            variables.push(("PIP_EXTRA_INDEX_URL".into(), self.extra.join(" ").into()));
        }
        variables
    }

    /// As [`Indexes::pip_variables`], for a pip in a container, which does not read the configuration of this machine.
    pub(super) fn pip_variables_in_image(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.pip_variables();
        let mut set = |name: &str, value: String| variables.push((name.into(), value.into()));
        for (name, value) in [("PIP_INDEX_URL", &self.primary), ("PIP_CERT", &self.certificates)] {
            value.iter().for_each(|value| set(name, value.clone()));
        }
        for (name, values) in [("PIP_FIND_LINKS", &self.find_links), ("PIP_TRUSTED_HOST", &self.trusted_hosts)] {
            if !values.is_empty() {
                set(name, values.join(" "));
            }
        }
        if self.is_without_index {
            set("PIP_NO_INDEX", "1".to_owned());
        }
        variables
    }

    /// Variables for a uv process: its own names for what pip is told, unless the user has set them himself.
    pub(super) fn uv_variables(&self, downloads: &Path, commands: &dyn CommandRunner) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: String| variables.push((name.into(), value.into()));
        let is_set = |names: &[&str]| names.iter().any(|name| commands.has_variable(name));
        set("NO_COLOR", "1".to_owned());
        set("UV_NO_PROGRESS", "1".to_owned());
        set("UV_PYTHON_DOWNLOADS", "never".to_owned());
        if self.is_without_cache {
            set("UV_NO_CACHE", "1".to_owned());
        } else if !is_set(&["UV_CACHE_DIR"]) {
            // On the file system of the environments, which can then be made of links.
            set("UV_CACHE_DIR", downloads.display().to_string());
        }
        if let Some(primary) = self.primary.as_ref().filter(|_| !is_set(&["UV_DEFAULT_INDEX", "UV_INDEX_URL"])) {
            set("UV_DEFAULT_INDEX", primary.clone());
        }
        let own_extra = commands.variable("UV_EXTRA_INDEX_URL").and_then(|value| value.into_string().ok());
        let extra: Vec<&str> = self.extra.iter().map(String::as_str).chain(own_extra.as_deref()).collect();
        if !extra.is_empty() {
            set("UV_EXTRA_INDEX_URL", extra.join(" "));
        }
        if !is_set(&["UV_INDEX_STRATEGY"]) {
            // pip takes the best version of all indexes; so do requirements that were made with it.
            set("UV_INDEX_STRATEGY", "unsafe-best-match".to_owned());
        }
        let exists = |place: &&String| is_remote(place) || Path::new(place.trim_start_matches("file://")).exists();
        let find_links: Vec<&str> = self.find_links.iter().filter(exists).map(String::as_str).collect();
        if !find_links.is_empty() && !is_set(&["UV_FIND_LINKS"]) {
            set("UV_FIND_LINKS", find_links.join(","));
        }
        if !self.trusted_hosts.is_empty() && !is_set(&["UV_INSECURE_HOST"]) {
            set("UV_INSECURE_HOST", self.trusted_hosts.join(" "));
        }
        if self.is_without_index {
            set("UV_NO_INDEX", "1".to_owned());
        }
        match &self.certificates {
            _ if is_set(&["SSL_CERT_FILE", "SSL_CERT_DIR", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"]) => {}
            Some(certificates) => set("SSL_CERT_FILE", certificates.clone()),
            // Small images have no certificates; uv brings its own.
            None if commands.image().is_some() => {}
            None => set("UV_SYSTEM_CERTS", "1".to_owned()),
        }
        if let Some(constraint) = commands.variable("PIP_CONSTRAINT").filter(|_| !is_set(&["UV_CONSTRAINT"])) {
            variables.push(("UV_CONSTRAINT".into(), constraint));
        }
        variables
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;

    fn commands(variables: &[(&str, &str)]) -> SystemCommands {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        SystemCommands::new(variables.collect::<Vec<_>>(), Arc::default())
    }

    fn value(variables: &[(OsString, OsString)], name: &str) -> Option<String> {
        variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string_lossy().into_owned())
    }

    #[test]
    fn uv_is_told_what_pip_would_read() {
        let commands = commands(&[
            ("PIP_INDEX_URL", "https://me:pass1@h/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://b/s  https://c/s"),
            ("PIP_FIND_LINKS", "/no/such/folder https://d/"),
            ("PIP_NO_INDEX", "false"),
        ]);
        let settings = PythonSettings { extra_index_urls: vec!["https://a:pass2@a/s".into()], ..Default::default() };
        let indexes = Indexes::gather(&settings, &Requirements::default(), &commands);
        let uv = indexes.uv_variables(Path::new("/cache"), &commands);
        assert_eq!(value(&uv, "UV_DEFAULT_INDEX").as_deref(), Some("https://me:pass1@h/simple"));
        assert_eq!(value(&uv, "UV_EXTRA_INDEX_URL").as_deref(), Some("https://a:pass2@a/s https://b/s https://c/s"));
        assert_eq!(value(&uv, "UV_FIND_LINKS").as_deref(), Some("https://d/"));
        assert_eq!(value(&uv, "UV_NO_INDEX"), None);
        let pip = indexes.pip_variables();
        assert_eq!(value(&pip, "PIP_EXTRA_INDEX_URL").as_deref(), Some("https://a:pass2@a/s https://b/s https://c/s"));
        let key = indexes.canonical().join("\n");
        assert!(!key.contains("pass1") && !key.contains("pass2") && key.contains("https://***@h/simple"), "{key}");
        assert_eq!(indexes.scrubber().scrub("pass1 pass2"), "*** ***");
    }

    #[test]
    fn what_the_user_says_to_uv_stands() {
        let commands = commands(&[("PIP_INDEX_URL", "https://h/simple"), ("UV_DEFAULT_INDEX", "https://own/simple")]);
        let indexes = Indexes::gather(&PythonSettings::default(), &Requirements::default(), &commands);
        let uv = indexes.uv_variables(Path::new("/cache"), &commands);
        assert_eq!(value(&uv, "UV_DEFAULT_INDEX"), None);
        assert!(indexes.has_own() && !Indexes::default().has_own());
        assert!(indexes.canonical().contains(&"UV_DEFAULT_INDEX: https://own/simple".to_owned()));
    }
}
