//! How git reaches a repository: the URL it is given, its credentials, its environment.
//!
//! Secrets go to git through an askpass script that prints variables of that one git process. They are on no
//! command line, in no file and in no URL. The user's own configuration is read, never written: what git must be
//! told comes through `GIT_CONFIG_COUNT`.

use std::ffi::OsString;
use std::path::Path;

use base64::Engine as _;
use protocols::git::{GitSettings, TokenKind};
use tempfile::TempDir;

use super::credential::{self, Audience, Credential};
use super::error::GitError;
use super::url::RepositoryUrl;
use crate::command::{CommandLine, CommandRunner};
use crate::scrub::Scrubber;

/// What an ssh without a person in front of it must not do: ask, or wait for a dead host for ever.
const BATCH_SSH: &str = "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=30 -oServerAliveCountMax=6";
/// Variables that would make git work on another repository than the one it is pointed at.
const MISLEADING_VARIABLES: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_CEILING_DIRECTORIES",
];

/// Why git is asked for another URL than the one of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is not.
    AsGiven,
    /// There are credentials for https.
    TranslatedSsh,
    /// The configuration wants ssh.
    ForcedSsh,
}

/// How git reaches one repository.
pub(crate) struct Access<'a> {
    /// The repository as git is asked for it: translated from ssh to https where credentials say so.
    url: RepositoryUrl,
    /// The repository as the task names it, without secrets.
    origin: String,
    /// Extra configuration, key and value.
    configuration: Vec<(String, String)>,
    credentials: Vec<Credential>,
    /// Folder of the askpass script, where there are credentials.
    askpass: Option<TempDir>,
    rule: Rule,
    scrubber: Scrubber,
    settings: GitSettings,
    commands: &'a dyn CommandRunner,
}

impl<'a> Access<'a> {
    /// Decides on URL and credentials.
    pub(crate) fn new(url: &str, settings: &GitSettings, commands: &'a dyn CommandRunner) -> Result<Self, GitError> {
        Self::with_others(url, &[], settings, commands)
    }

    /// As [`Self::new`], for further repositories as well, which are reached by the same git processes.
    pub(crate) fn with_others(
        url: &str,
        others: &[&str],
        settings: &GitSettings,
        commands: &'a dyn CommandRunner,
    ) -> Result<Self, GitError> {
        let asked = RepositoryUrl::parse(url);
        let configured = credential::configured(settings);
        let mut scrubber = Scrubber::default();
        scrubber.add_url(url);
        let mut access = Self {
            origin: asked.without_secrets(),
            configuration: Vec::new(),
            credentials: Vec::new(),
            askpass: None,
            url: asked.clone(),
            rule: Rule::AsGiven,
            scrubber,
            settings: settings.clone(),
            commands,
        };
        access.credentials = configured;
        (access.url, access.rule) = access.rewritten(&asked);
        let others: Vec<RepositoryUrl> = others.iter().map(|other| RepositoryUrl::parse(other)).collect();
        for url in std::iter::once(access.url.clone()).chain(others.iter().cloned()) {
            access.take_embedded(&url);
        }
        for credential in &access.credentials {
            access.scrubber.add(&credential.password);
        }
        for url in std::iter::once(&asked).chain(&others) {
            access.rewrite_others(url);
        }
        access.configure(others.iter().any(RepositoryUrl::is_local));
        if !access.credentials.is_empty() {
            access.askpass = Some(credential::write_askpass(&access.credentials)?);
        }
        Ok(access)
    }

    /// What git is asked for in the place of a URL, and why.
    fn rewritten(&self, url: &RepositoryUrl) -> (RepositoryUrl, Rule) {
        let settings = &self.settings;
        if settings.force_ssh {
            let own =
                settings.host.as_ref().filter(|host| !host.is_empty()).map(|host| host.trim().to_ascii_lowercase());
            let is_meant = own.is_none() || own == url.host();
            let ssh = url.to_ssh(settings.ssh_user.as_deref(), settings.ssh_port).filter(|_| is_meant);
            let rule = if ssh.is_some() { Rule::ForcedSsh } else { Rule::AsGiven };
            return (ssh.unwrap_or_else(|| url.clone()), rule);
        }
        let scheme = settings.https_scheme.as_deref().unwrap_or("https");
        let https = url.to_https(scheme).filter(|_| !settings.without_ssh_translation && self.has_credentials_for(url));
        match https {
            Some(https) => (https, Rule::TranslatedSsh),
            None => (url.clone(), Rule::AsGiven),
        }
    }

    /// Makes git rewrite other URLs of a URL's host in the way that this one is: those of submodules, LFS, packages.
    pub(crate) fn rewrite_others(&mut self, url: &RepositoryUrl) {
        let (rewritten, rule) = self.rewritten(url);
        if let Some(base) = rewritten.http_base().filter(|_| self.has_credentials_for(&rewritten)) {
            // No helper of the user may store what was configured for tasks. For other hosts he keeps his own.
            self.set(&format!("credential.{base}.helper"), "");
        }
        let (bases, prefixes) = match rule {
            Rule::AsGiven => return,
            Rule::TranslatedSsh => (rewritten.http_base(), url.ssh_prefixes()),
            Rule::ForcedSsh => (rewritten.ssh_prefixes().into_iter().next(), url.prefixes()),
        };
        let Some(base) = bases else { return };
        for prefix in prefixes {
            self.set(&format!("url.{}/.insteadOf", base.trim_end_matches('/')), &prefix);
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let pair = (key.to_owned(), value.to_owned());
        if !self.configuration.contains(&pair) {
            self.configuration.push(pair);
        }
    }

    /// Credentials in the URL are for its own host and go before the configured ones. A lone user may be a token,
    /// or the name that a credential helper of the user knows: configured credentials replace it.
    fn take_embedded(&mut self, url: &RepositoryUrl) {
        let Some(embedded) = url.embedded() else { return };
        match (embedded.password, url.http_base()) {
            (Some(password), _) => {
                let audience = url.host_and_port().map_or(Audience::Anybody, Audience::Host);
                let source = "the URL of the task";
                self.credentials.insert(0, Credential { audience, user: embedded.user, password, source });
            }
            (None, Some(base)) if !self.has_credentials_for(url) => {
                self.scrubber.add(&embedded.user);
                self.set(&format!("credential.{base}.username"), &embedded.user);
            }
            (None, _) => {}
        }
    }

    /// Whether there are credentials for a URL.
    pub(crate) fn has_credentials_for(&self, url: &RepositoryUrl) -> bool {
        self.credential_for(url).is_some()
    }

    /// The credential that answers for a URL.
    pub(super) fn credential_for(&self, url: &RepositoryUrl) -> Option<&Credential> {
        self.credentials.iter().find(|credential| credential.is_for(url))
    }

    fn configure(&mut self, has_local: bool) {
        self.set("safe.directory", "*");
        // A mirror's objects are borrowed by work trees: nothing may prune them behind their backs.
        self.set("gc.auto", "0");
        self.set("maintenance.auto", "false");
        // Whole packs only: a fetch that is killed then leaves no commit whose files are missing.
        self.set("fetch.unpackLimit", "1");
        self.set("transfer.unpackLimit", "1");
        if !self.commands.has_variable("GIT_HTTP_LOW_SPEED_LIMIT") {
            self.set("http.lowSpeedLimit", "1");
            self.set("http.lowSpeedTime", "300");
        }
        if self.credentials.iter().any(|credential| credential.audience == Audience::Anybody) {
            self.set("credential.helper", "");
        }
        if credential::need_paths(&self.credentials) {
            self.set("credential.useHttpPath", "true");
        }
        if has_local || self.url.is_local() {
            self.set("protocol.file.allow", "always");
        }
        self.add_token();
    }

    /// A token that is no password goes into a header, for the host of this repository alone.
    fn add_token(&mut self) {
        let (Some(base), Some(found)) = (self.url.http_base(), self.credential_for(&self.url)) else { return };
        let header = match self.settings.token_kind {
            TokenKind::Password => return,
            TokenKind::Bearer => format!("Authorization: Bearer {}", found.password),
            TokenKind::AzurePat => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!(":{}", found.password));
                self.scrubber.add(&pair);
                format!("Authorization: Basic {pair}")
            }
        };
        self.set(&format!("http.{base}/.extraHeader"), &header);
    }

    /// The repository as git is asked for it.
    pub(crate) fn url(&self) -> &RepositoryUrl {
        &self.url
    }

    /// Why [`Self::url`] is not what the task says.
    pub(super) fn rule(&self) -> Rule {
        self.rule
    }

    /// The repository as the task names it, without secrets.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Knows every secret of this access.
    pub(crate) fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Runs the commands.
    pub(crate) fn commands(&self) -> &'a dyn CommandRunner {
        self.commands
    }

    /// A git command that works in `folder` alone, ready for its arguments.
    pub(crate) fn git(&self, folder: &Path) -> CommandLine {
        let mut command = CommandLine::new("git")
            .directory(folder)
            .without_variables(MISLEADING_VARIABLES)
            .variable("LC_ALL", "C")
            .variable("GIT_TERMINAL_PROMPT", "0");
        command.variables.extend(self.configuration_variables());
        command
    }

    /// A git command that may use the network, with the credentials.
    pub(crate) fn remote_git(&self, folder: &Path) -> CommandLine {
        let mut command = self.git(folder);
        if !self.user_has_own_ssh() {
            command = command.variable("GIT_SSH_COMMAND", BATCH_SSH);
        }
        if let Some(folder) = &self.askpass {
            command = command.variable("GIT_ASKPASS", folder.path().join("askpass"));
            for (number, credential) in self.credentials.iter().enumerate() {
                let (user, password) = credential::variables(number);
                command = command.variable(user, &credential.user).variable(password, &credential.password);
            }
        }
        command
    }

    fn user_has_own_ssh(&self) -> bool {
        ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(|name| self.commands.has_variable(name))
            || git2::Config::open_default().is_ok_and(|config| config.get_string("core.sshcommand").is_ok())
    }

    /// The configuration as variables, after what the environment configures in this way already.
    fn configuration_variables(&self) -> Vec<(OsString, OsString)> {
        let before = self.commands.variable("GIT_CONFIG_COUNT").and_then(|count| count.to_str()?.parse().ok());
        let before: usize = before.unwrap_or(0);
        let count = before + self.configuration.len();
        let mut variables = vec![("GIT_CONFIG_COUNT".into(), count.to_string().into())];
        for (number, (key, value)) in self.configuration.iter().enumerate() {
            variables.push((format!("GIT_CONFIG_KEY_{}", before + number).into(), key.into()));
            variables.push((format!("GIT_CONFIG_VALUE_{}", before + number).into(), value.into()));
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;

    fn settings(host: Option<&str>) -> GitSettings {
        let (user, password) = (Some("robot".into()), Some("p\"a$(id)`s'".into()));
        GitSettings { user, password, host: host.map(str::to_owned), ..GitSettings::default() }
    }

    fn ask(access: &Access<'_>, question: &str) -> Vec<String> {
        let git = access.remote_git(Path::new("/"));
        let askpass = git.variables.iter().find(|(name, _)| name == "GIT_ASKPASS").unwrap().1.clone();
        let mut command = CommandLine::new(askpass).argument(question);
        command.variables = git.variables;
        access.commands().run(command, &mut |_| {}).unwrap().tail
    }

    #[test]
    fn askpass_answers_its_own_host_only() {
        let commands = SystemCommands::inheriting(Arc::default());
        let access =
            Access::new("https://me:t%40ken@git.example.org:8443/r.git", &settings(Some("Other.org")), &commands)
                .unwrap();
        let secret = "p\"a$(id)`s'";
        assert_eq!(ask(&access, "Username for 'https://git.example.org:8443': "), ["me"]);
        assert_eq!(ask(&access, "Password for 'https://me@git.example.org:8443': "), ["t@ken"]);
        assert_eq!(ask(&access, "Password for 'https://robot@other.org/path': "), [secret]);
        assert_eq!(ask(&access, "Username for \"https://OTHER.org\""), ["robot"]);
        assert!(ask(&access, "Password for 'https://evil.org': ").is_empty());
        assert!(ask(&access, "Password for 'https://other.org@evil.org': ").is_empty());
        let anywhere = Access::new("https://x.org/r", &settings(None), &commands).unwrap();
        assert_eq!(ask(&anywhere, "Password for 'https://robot@x.org': "), [secret]);
    }

    #[test]
    fn no_secret_is_in_arguments_script_or_url() {
        let commands = SystemCommands::inheriting(Arc::default());
        let access = Access::new("https://me:t0ken@h.org/r.git", &settings(None), &commands).unwrap();
        let script = std::fs::read_to_string(access.askpass.as_ref().unwrap().path().join("askpass")).unwrap();
        let shown =
            format!("{script} {:?} {} {}", access.remote_git(Path::new("/")), access.url().for_git(), access.origin());
        assert!(!shown.contains("t0ken") && !shown.contains("$(id)"), "{shown}");
        assert_eq!(access.scrubber().scrub("my t0ken"), "my ***");
    }

    #[test]
    fn ssh_is_translated_for_hosts_with_credentials() {
        let commands = SystemCommands::inheriting(Arc::default());
        let check = |url: &str, host: Option<&str>, expected: &str| {
            let access = Access::new(url, &settings(host), &commands).unwrap();
            assert_eq!(access.url().for_git(), expected);
        };
        check("git@github.com:o/r.git", None, "https://github.com/o/r.git");
        check("git@github.com:o/r.git", Some("GitHub.com"), "https://github.com/o/r.git");
        check("git@github.com:o/r.git", Some("gitlab.com"), "git@github.com:o/r.git");
        check("/srv/r.git", None, "/srv/r.git");
        let access = Access::new("git@github.com:o/r.git", &settings(None), &commands).unwrap();
        assert_eq!(access.origin(), "git@github.com:o/r.git");
        let rule = |prefix: &str| ("url.https://github.com/.insteadOf".to_owned(), prefix.to_owned());
        assert!(access.configuration.contains(&rule("git@github.com:")));
        assert!(access.configuration.contains(&rule("ssh://git@github.com/")));
        let without = Access::new("git@github.com:o/r.git", &GitSettings::default(), &commands).unwrap();
        assert_eq!(without.url().for_git(), "git@github.com:o/r.git");
        assert!(without.askpass.is_none());
    }

    #[test]
    fn the_configuration_may_want_ssh() {
        let commands = SystemCommands::inheriting(Arc::default());
        let forced = GitSettings { force_ssh: true, ssh_user: Some("me".into()), ssh_port: Some(7), ..settings(None) };
        let access = Access::new("https://h.org:8443/o/r", &forced, &commands).unwrap();
        assert_eq!(access.url().for_git(), "ssh://me@h.org:7/o/r");
        assert_eq!(access.origin(), "https://h.org:8443/o/r");
        let rule = ("url.ssh://me@h.org:7/.insteadOf".to_owned(), "https://h.org:8443/".to_owned());
        assert!(access.configuration.contains(&rule), "{:?}", access.configuration);
        let other = GitSettings { host: Some("other.org".into()), ..forced };
        assert_eq!(Access::new("https://h.org/r", &other, &commands).unwrap().url().for_git(), "https://h.org/r");
        assert_eq!(Access::new("git@h.org:r", &other, &commands).unwrap().url().for_git(), "git@h.org:r");
        let kept = GitSettings { without_ssh_translation: true, ..settings(None) };
        assert_eq!(Access::new("git@h.org:r", &kept, &commands).unwrap().url().for_git(), "git@h.org:r");
    }

    #[test]
    fn helpers_of_the_user_are_kept_from_what_is_configured() {
        let commands = SystemCommands::inheriting(Arc::default());
        let check = |url: &str, host: Option<&str>, expected: &[&str]| {
            let access = Access::new(url, &settings(host), &commands).unwrap();
            let keys = access.configuration.iter().map(|(key, _)| key.as_str());
            assert_eq!(keys.filter(|key| key.ends_with(".helper")).collect::<Vec<_>>(), expected);
        };
        check("https://h.org:8443/r", Some("h.org"), &["credential.https://h.org:8443.helper"]);
        check("git@h.org:r", Some("h.org"), &["credential.https://h.org.helper"]);
        check("https://other.org/r", Some("h.org"), &[]);
        check("https://h.org/r", None, &["credential.https://h.org.helper", "credential.helper"]);
    }

    #[test]
    fn a_prefix_answers_for_its_paths_only() {
        let commands = SystemCommands::inheriting(Arc::default());
        let settings = GitSettings { host_is_prefix: true, ..settings(Some("https://h.org/team")) };
        let access = Access::new("https://h.org/team/r", &settings, &commands).unwrap();
        assert_eq!(ask(&access, "Username for 'https://h.org/team/r': "), ["robot"]);
        assert!(ask(&access, "Username for 'https://h.org/teams/r': ").is_empty());
        assert!(ask(&access, "Username for 'https://h.org': ").is_empty());
        let paths = ("credential.useHttpPath".to_owned(), "true".to_owned());
        assert!(access.configuration.contains(&paths));
    }

    #[test]
    fn tokens_go_into_a_header_of_their_host() {
        let commands = SystemCommands::inheriting(Arc::default());
        let check = |kind: TokenKind, expected: &str| {
            let settings =
                GitSettings { token_kind: kind, user: None, password: Some("tok3n".into()), ..settings(None) };
            let access = Access::new("https://dev.azure.com/o/r", &settings, &commands).unwrap();
            let header = ("http.https://dev.azure.com/.extraHeader".to_owned(), expected.to_owned());
            assert!(access.configuration.contains(&header), "{:?}", access.configuration);
            let command = access.remote_git(Path::new("/"));
            assert!(command.arguments.iter().all(|argument| !argument.to_string_lossy().contains("tok3n")));
            assert!(!access.scrubber().scrub(expected).contains("tok3n"));
        };
        check(TokenKind::Bearer, "Authorization: Bearer tok3n");
        check(TokenKind::AzurePat, "Authorization: Basic OnRvazNu");
    }

    #[test]
    fn configuration_is_added_to_what_the_environment_has() {
        let environment = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "user.name"), ("GIT_CONFIG_VALUE_0", "x")];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let commands = SystemCommands::new(environment, Arc::default());
        let access = Access::new("https://me@h.org/r", &GitSettings::default(), &commands).unwrap();
        let variables = access.configuration_variables();
        assert!(variables.contains(&("GIT_CONFIG_KEY_1".into(), "credential.https://h.org.username".into())));
        assert!(variables.iter().all(|(name, _)| name != "GIT_CONFIG_KEY_0"));
    }
}
