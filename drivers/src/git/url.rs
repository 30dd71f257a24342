//! Repository URLs: what git is given, what a mirror is named after, and which credentials are in them.

use url::Url;

use crate::scrub::percent_decode;

/// The forms that git takes, as far as they are treated differently.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `https://` and `http://`.
    Http(Url),
    /// `ssh://` and `git+ssh://`.
    Ssh(Url),
    /// `[user@]host:path`.
    Scp { user: Option<String>, host: String, path: String },
    /// A path or a `file://` URL.
    Local(String),
    /// Anything else goes to git as it is.
    Other(String),
}

/// The URL of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepositoryUrl(Form);

/// User and password that are part of a URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Embedded {
    /// Decoded.
    pub(crate) user: String,
    /// Decoded; `None` where there is only a user, which may be a token.
    pub(crate) password: Option<String>,
}

impl RepositoryUrl {
    /// Never fails: what is not understood is left to git.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Some((scheme, _)) = text.split_once("://") {
            let parsed = Url::parse(text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
            return Self(match (scheme.to_ascii_lowercase().as_str(), parsed) {
                ("http" | "https", Some(url)) => Form::Http(url),
                ("ssh" | "git+ssh" | "ssh+git", Some(url)) => Form::Ssh(url),
                ("file", _) => Form::Local(text.to_owned()),
                _ => Form::Other(text.to_owned()),
            });
        }
        Self(scp_like(text).unwrap_or_else(|| Form::Local(text.to_owned())))
    }

    /// The URL without anything secret: of an http URL the whole user information, of an ssh URL the password.
    pub(crate) fn without_secrets(&self) -> String {
        match &self.0 {
            Form::Http(url) => without_user(url).into(),
            Form::Ssh(url) => without_password(url).into(),
            Form::Scp { user, host, path } => scp_text(user.as_deref(), host, path),
            Form::Local(text) => text.clone(),
            Form::Other(text) => crate::scrub::scrub_urls(text),
        }
    }

    /// [`Self::without_secrets`] with a scheme: what stands in a requirement.
    pub(crate) fn as_url(&self) -> String {
        match &self.0 {
            Form::Scp { user, host, path } => {
                let login = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                format!("ssh://{login}{host}/{}", path.trim_start_matches('/'))
            }
            Form::Http(_) | Form::Ssh(_) | Form::Local(_) | Form::Other(_) => self.without_secrets(),
        }
    }

    /// What git itself is given: [`Self::without_secrets`], except for transports that are not known here.
    pub(crate) fn for_git(&self) -> String {
        match &self.0 {
            Form::Other(text) => text.clone(),
            Form::Http(_) | Form::Ssh(_) | Form::Scp { .. } | Form::Local(_) => self.without_secrets(),
        }
    }

    /// Equal for URLs that surely mean one repository: credentials, a `.git` suffix and trailing slashes do not
    /// matter; the scheme does, and so does the user of an ssh login, whose paths may be relative to his home.
    pub(crate) fn canonical(&self) -> String {
        match &self.0 {
            Form::Http(url) => trimmed(without_user(url).as_str()).to_owned(),
            Form::Ssh(url) => trimmed(without_password(url).as_str()).to_owned(),
            Form::Scp { user, host, path } => {
                trimmed(&scp_text(user.as_deref(), &host.to_ascii_lowercase(), path)).to_owned()
            }
            // `a` and `a.git` may lie side by side.
            Form::Local(text) => text.strip_prefix("file://").unwrap_or(text).trim_end_matches('/').to_owned(),
            Form::Other(_) => trimmed(&self.without_secrets()).to_owned(),
        }
    }

    /// The last part of the path, for a folder's name.
    pub(crate) fn name(&self) -> String {
        let canonical = self.canonical();
        let last = trimmed(&canonical).rsplit(['/', ':']).next().unwrap_or_default();
        let name: String = last
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' })
            .take(60)
            .collect();
        let name = name.trim_start_matches(['.', '-']);
        if name.is_empty() { "repository".to_owned() } else { name.to_owned() }
    }

    /// Host in lower case, where there is one.
    pub(crate) fn host(&self) -> Option<String> {
        match &self.0 {
            Form::Http(url) | Form::Ssh(url) => url.host_str().map(str::to_ascii_lowercase),
            Form::Scp { host, .. } => Some(host.to_ascii_lowercase()),
            Form::Local(_) | Form::Other(_) => None,
        }
    }

    /// Host in lower case, with the port where the URL has one that is not the scheme's own.
    pub(crate) fn host_and_port(&self) -> Option<String> {
        let host = self.host()?;
        match &self.0 {
            Form::Http(url) | Form::Ssh(url) => Some(url.port().map_or(host.clone(), |port| format!("{host}:{port}"))),
            Form::Scp { .. } | Form::Local(_) | Form::Other(_) => Some(host),
        }
    }

    /// `https://host[:port]` of an http URL.
    pub(crate) fn http_base(&self) -> Option<String> {
        match &self.0 {
            Form::Http(url) => Some(format!("{}://{}", url.scheme(), self.host_and_port()?)),
            Form::Ssh(_) | Form::Scp { .. } | Form::Local(_) | Form::Other(_) => None,
        }
    }

    /// Whether it is a folder of this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.0, Form::Local(_))
    }

    /// The credentials in the URL.
    pub(crate) fn embedded(&self) -> Option<Embedded> {
        let (Form::Http(url) | Form::Ssh(url)) = &self.0 else { return None };
        let password = url.password().map(percent_decode);
        let is_login = matches!(self.0, Form::Ssh(_)) && password.is_none();
        (!is_login && (!url.username().is_empty() || password.is_some()))
            .then(|| Embedded { user: percent_decode(url.username()), password })
    }

    /// The ssh URL for the same repository of an https URL, and an ssh URL with another user or port. Forms that do
    /// not name a scheme stay, and so does plain http.
    pub(crate) fn to_ssh(&self, user: Option<&str>, port: Option<u16>) -> Option<Self> {
        let url = match &self.0 {
            Form::Http(url) if url.scheme() == "https" => url,
            Form::Ssh(url) if user.is_some() || port.is_some() => url,
            Form::Http(_) | Form::Ssh(_) | Form::Scp { .. } | Form::Local(_) | Form::Other(_) => return None,
        };
        let login = user.unwrap_or("git");
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = url.path();
        let text = format!("ssh://{login}@{}{port}{path}", url.host_str()?);
        Some(Self(Form::Ssh(Url::parse(&text).ok()?)))
    }

    /// The https URL for the same repository of an ssh URL; `None` for any other URL. Another scheme than `https`
    /// may be asked for.
    ///
    /// The user is dropped if it is the one of a service (`git`, `hg`). So is the port, which is the one of ssh.
    pub(crate) fn to_https(&self, scheme: &str) -> Option<Self> {
        let (user, password, host, path) = match &self.0 {
            Form::Ssh(url) => (url.username(), url.password(), url.host_str()?, url.path()),
            Form::Scp { user, host, path } => (user.as_deref().unwrap_or_default(), None, host.as_str(), path.as_str()),
            Form::Http(_) | Form::Local(_) | Form::Other(_) => return None,
        };
        let scheme = if scheme == "http" { "http" } else { "https" };
        let mut url = Url::parse(&format!("{scheme}://{host}/{}", path.trim_start_matches('/'))).ok()?;
        if password.is_some() || !matches!(user, "" | "git" | "hg") {
            url.set_username(&percent_decode(user)).ok()?;
            url.set_password(password.map(percent_decode).as_deref()).ok()?;
        }
        Some(Self(Form::Http(url)))
    }

    /// The beginnings of URLs of this URL's host, as it is written here, for rules that translate them.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        match self.http_base() {
            Some(base) => vec![format!("{base}/")],
            None => self.ssh_prefixes(),
        }
    }

    /// The beginnings of ssh URLs of this URL's host and user, for rules that translate them.
    pub(crate) fn ssh_prefixes(&self) -> Vec<String> {
        match &self.0 {
            Form::Ssh(url) => {
                let mut base = without_password(url);
                base.set_path("/");
                vec![base.into()]
            }
            Form::Scp { user, host, .. } => {
                let login = scp_text(user.as_deref(), host, "");
                vec![format!("ssh://{}/", login.trim_end_matches(':')), login]
            }
            Form::Http(_) | Form::Local(_) | Form::Other(_) => Vec::new(),
        }
    }
}

/// git takes `host:path` for ssh, unless a slash comes before the colon.
fn scp_like(text: &str) -> Option<Form> {
    let (login, path) = text.split_once(':')?;
    if login.is_empty() || login.contains('/') {
        return None;
    }
    let (user, host) = match login.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, login),
    };
    Some(Form::Scp { user, host: host.to_owned(), path: path.to_owned() })
}

fn scp_text(user: Option<&str>, host: &str, path: &str) -> String {
    user.map_or_else(|| format!("{host}:{path}"), |user| format!("{user}@{host}:{path}"))
}

fn without_user(url: &Url) -> Url {
    let mut url = without_password(url);
    url.set_username("").expect("a URL with a host may have no user");
    url
}

fn without_password(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_password(None).expect("a URL with a host may have no password");
    url
}

fn trimmed(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    text.strip_suffix(".git").unwrap_or(text).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_suffix_and_slash_do_not_make_another_repository() {
        let same = |one: &str, other: &str| {
            assert_eq!(RepositoryUrl::parse(one).canonical(), RepositoryUrl::parse(other).canonical());
        };
        same("https://me:pw@Host.org/a/b.git", "https://host.org/a/b/");
        same("https://host:443/a/b", "https://token@host/a/b.git/");
        same("git@host:a/b.git", "git@HOST:a/b");
        same("ssh://git:pw@host/a", "ssh://git@host/a.git");
        same("file:///a/b", "/a/b/");
        let differ = |one: &str, other: &str| {
            assert_ne!(RepositoryUrl::parse(one).canonical(), RepositoryUrl::parse(other).canonical());
        };
        differ("https://host/a/b", "ssh://git@host/a/b");
        differ("https://host/a/b", "http://host/a/b");
        differ("git@host:a/b", "me@host:a/b");
        differ("/a/b", "/a/b.git");
        differ("https://host/a/B", "https://host/a/b");
    }

    #[test]
    fn an_ssh_url_becomes_https() {
        let check = |text: &str, expected: Option<&str>| {
            let https = RepositoryUrl::parse(text).to_https("https");
            let expected = expected.map(|url| RepositoryUrl(Form::Http(Url::parse(url).unwrap())));
            assert_eq!(https, expected, "{text}");
        };
        check("git@github.com:owner/repo.git", Some("https://github.com/owner/repo.git"));
        check("hg@host:x", Some("https://host/x"));
        check("host:x/y", Some("https://host/x/y"));
        check("me@host:p", Some("https://me@host/p"));
        check("git@h:2222/x.git", Some("https://h/2222/x.git"));
        check("ssh://git@h/x", Some("https://h/x"));
        check("ssh://git@h:22/x", Some("https://h/x"));
        check("ssh://me@h:7999/x/y.git", Some("https://me@h/x/y.git"));
        check("ssh://git:pw@h/x", Some("https://git:pw@h/x"));
        check("git+ssh://git@h/x", Some("https://h/x"));
        check("https://h/x", None);
        check("/srv/x", None);
        check("./a:b", None);
        check("file:///srv/x", None);
    }

    #[test]
    fn an_https_url_becomes_ssh() {
        let check = |text: &str, user: Option<&str>, port: Option<u16>, expected: Option<&str>| {
            let ssh = RepositoryUrl::parse(text).to_ssh(user, port).map(|url| url.for_git());
            assert_eq!(ssh.as_deref(), expected, "{text}");
        };
        check("https://u:p@h:8443/o/r.git", None, None, Some("ssh://git@h/o/r.git"));
        check("https://h/o/r.git", Some("me"), Some(2222), Some("ssh://me@h:2222/o/r.git"));
        check("ssh://you@h:22/o/r.git", Some("me"), None, Some("ssh://me@h/o/r.git"));
        check("ssh://you@h:22/o/r.git", None, Some(7), Some("ssh://git@h:7/o/r.git"));
        check("ssh://you@h:22/o/r.git", None, None, None);
        check("http://h/r", None, None, None);
        check("git@h:r", Some("me"), None, None);
        check("/srv/r", None, None, None);
    }

    #[test]
    fn git_gets_no_secret() {
        let check = |text: &str, expected: &str| assert_eq!(RepositoryUrl::parse(text).for_git(), expected);
        check(" https://me:pw@host/r.git ", "https://host/r.git");
        check("https://token@host:8443/r", "https://host:8443/r");
        check("ssh://git:pw@host/r", "ssh://git@host/r");
        check("git@host:r", "git@host:r");
        check("/srv/git/r.git", "/srv/git/r.git");
        check("file:///srv/git/r.git", "file:///srv/git/r.git");
        check("git://host/r", "git://host/r");
    }

    #[test]
    fn embedded_credentials_are_decoded() {
        let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
            let embedded = RepositoryUrl::parse(text).embedded();
            assert_eq!(embedded.as_ref().map(|it| (it.user.as_str(), it.password.as_deref())), expected, "{text}");
        };
        check("https://U:P%40%2Fx@github.com/a", Some(("U", Some("P@/x"))));
        check("https://me@github.com/x", Some(("me", None)));
        check("https://github.com/x", None);
        check("ssh://git@h/x", None);
        check("ssh://git:pw@h/x", Some(("git", Some("pw"))));
        check("git@h:x", None);
    }

    #[test]
    fn a_name_is_fit_for_a_folder() {
        let check = |text: &str, expected: &str| assert_eq!(RepositoryUrl::parse(text).name(), expected);
        check("https://host/a/My Repo.git", "My-20Repo");
        check("git@host:repo.git", "repo");
        check("/srv/a/.hidden/", "hidden");
        check("/", "repository");
    }
}
