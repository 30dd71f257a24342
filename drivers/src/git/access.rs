//! How git reaches a repository: the URL it is given, its credentials, its environment.
//!
//! Secrets go to git through an askpass script that prints variables of that one git process. They are on no
//! command line, in no file and in no URL. The user's own configuration is read, never written: what git must be
//! told comes through `GIT_CONFIG_COUNT`.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use protocols::order::GitSettings;
use tempfile::TempDir;

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

/// User and password, and for whom they are.
struct Credential {
    /// `host` or `host:port` in lower case; any host where absent.
    host: Option<String>,
    user: String,
    password: String,
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
    scrubber: Scrubber,
    commands: &'a dyn CommandRunner,
}

impl<'a> Access<'a> {
    /// Decides on URL and credentials.
    pub(crate) fn new(url: &str, settings: &GitSettings, commands: &'a dyn CommandRunner) -> Result<Self, GitError> {
        let asked = RepositoryUrl::parse(url);
        let configured = configured_credential(settings);
        let translated = configured.as_ref().filter(|it| it.is_for(&asked)).and_then(|_| asked.to_https());
        let mut scrubber = Scrubber::default();
        scrubber.add_url(url);
        let mut access = Self {
            origin: asked.without_secrets(),
            configuration: Vec::new(),
            credentials: Vec::new(),
            askpass: None,
            url: translated.clone().unwrap_or_else(|| asked.clone()),
            scrubber,
            commands,
        };
        access.take_embedded(configured.is_some());
        access.credentials.extend(configured);
        for credential in &access.credentials {
            access.scrubber.add(&credential.password);
        }
        if translated.is_some() {
            access.translate(&asked);
        }
        access.configure();
        if !access.credentials.is_empty() {
            access.askpass = Some(write_askpass(&access.credentials)?);
        }
        Ok(access)
    }

    /// Credentials in the URL are for its own host and go before the configured ones. A lone user may be a token,
    /// or the name that a credential helper of the user knows: configured credentials replace it.
    fn take_embedded(&mut self, is_configured: bool) {
        let Some(embedded) = self.url.embedded() else { return };
        match (embedded.password, self.url.http_base()) {
            (Some(password), _) => {
                let host = self.url.host_and_port();
                self.credentials.push(Credential { host, user: embedded.user, password });
            }
            (None, Some(base)) if !is_configured => {
                self.scrubber.add(&embedded.user);
                self.configuration.push((format!("credential.{base}.username"), embedded.user));
            }
            (None, _) => {}
        }
    }

    /// Makes git translate other ssh URLs of a host in the same way: those of submodules and of LFS.
    pub(crate) fn translate(&mut self, ssh: &RepositoryUrl) {
        let base = ssh.to_https().and_then(|https| https.http_base());
        for prefix in ssh.ssh_prefixes() {
            if let Some(base) = &base {
                self.configuration.push((format!("url.{base}/.insteadOf"), prefix));
            }
        }
    }

    /// Whether the configured credentials would be used for a URL.
    pub(crate) fn has_credentials_for(&self, url: &RepositoryUrl) -> bool {
        self.credentials.iter().any(|credential| credential.is_for(url))
    }

    fn configure(&mut self) {
        let mut set = |key: &str, value: &str| self.configuration.push((key.to_owned(), value.to_owned()));
        set("safe.directory", "*");
        // A mirror's objects are borrowed by work trees: nothing may prune them behind their backs.
        set("gc.auto", "0");
        set("maintenance.auto", "false");
        // Whole packs only: a fetch that is killed then leaves no commit whose files are missing.
        set("fetch.unpackLimit", "1");
        set("transfer.unpackLimit", "1");
        if !self.commands.has_variable("GIT_HTTP_LOW_SPEED_LIMIT") {
            set("http.lowSpeedLimit", "1");
            set("http.lowSpeedTime", "300");
        }
        if !self.credentials.is_empty() {
            // No helper of the user may store what was configured for tasks.
            set("credential.helper", "");
        }
        if self.url.is_local() {
            set("protocol.file.allow", "always");
        }
    }

    /// The repository as git is asked for it.
    pub(crate) fn url(&self) -> &RepositoryUrl {
        &self.url
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
                command = command
                    .variable(format!("HOSTLER_GIT_USER_{number}"), &credential.user)
                    .variable(format!("HOSTLER_GIT_PASSWORD_{number}"), &credential.password);
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

impl Credential {
    fn is_for(&self, url: &RepositoryUrl) -> bool {
        match &self.host {
            None => url.host().is_some(),
            Some(_) => self.host == url.host() || self.host == url.host_and_port(),
        }
    }
}

/// As the stock agent: only a user and a password together are credentials.
fn configured_credential(settings: &GitSettings) -> Option<Credential> {
    let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    Some(Credential {
        host: set(&settings.host).map(|host| host.trim().to_ascii_lowercase()),
        user: set(&settings.user)?,
        password: set(&settings.password)?,
    })
}

/// Writes the script that git starts to ask for a user or a password. The answers are not in it.
fn write_askpass(credentials: &[Credential]) -> Result<TempDir, GitError> {
    let folder = tempfile::Builder::new().prefix("hostler-askpass-").tempdir();
    let folder = folder.map_err(GitError::io("make a temporary folder in", std::env::temp_dir()))?;
    let path = folder.path().join("askpass");
    let mut options = std::fs::File::options();
    let file = options.write(true).create_new(true).mode(0o700).open(&path);
    let written = file.and_then(|mut file| file.write_all(askpass_script(credentials).as_bytes()));
    written.map_err(GitError::io("write", &path))?;
    Ok(folder)
}

/// git asks `Username for 'https://host': `, and `Password for 'https://user@host': `; the first credential that is
/// for this host answers, and nothing is told to any other host.
fn askpass_script(credentials: &[Credential]) -> String {
    let mut script = "#!/bin/sh\n\
        authority=${1#*://}\n\
        authority=${authority%%[\\'\\\"/\\ ]*}\n\
        authority=$(printf %s \"${authority##*@}\" | tr A-Z a-z)\n\
        host=${authority%:*}\n\
        case $1 in [Uu]*) asked=user;; *) asked=password;; esac\n\
        answer() { if [ $asked = user ]; then printf '%s\\n' \"$1\"; else printf '%s\\n' \"$2\"; fi; exit 0; }\n"
        .to_owned();
    for (number, credential) in credentials.iter().enumerate() {
        let answer = format!("answer \"$HOSTLER_GIT_USER_{number}\" \"$HOSTLER_GIT_PASSWORD_{number}\"");
        match &credential.host {
            None => script.push_str(&format!("{answer}\n")),
            Some(host) => {
                let host = host.replace('\'', "");
                script.push_str(&format!(
                    "if [ \"$authority\" = '{host}' ] || [ \"$host\" = '{host}' ]; then {answer}; fi\n"
                ));
            }
        }
    }
    script.push_str("exit 1\n");
    script
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;

    fn settings(host: Option<&str>) -> GitSettings {
        GitSettings { user: Some("robot".into()), password: Some("p\"a$(id)`s'".into()), host: host.map(str::to_owned) }
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
