//! The addresses of a ClearML server, derived from one another where they are not given.

/// Where a server's three services are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// `api.api_server`.
    pub(crate) api: String,
    /// `api.web_server`; unknown where it is neither given nor follows from the API's address.
    pub(crate) web: Option<String>,
    /// `api.files_server`; likewise.
    pub(crate) files: Option<String>,
}

impl Hosts {
    /// Fills what is missing from the API's address: `://api.` becomes `://app.` and `://files.`, `demoapi` becomes
    /// `demoapp` and `demofiles`, port 8008 becomes 8080 and 8081.
    pub(crate) fn derive(api: &str, web: Option<String>, files: Option<String>) -> Self {
        let trim = |text: &str| text.trim().trim_end_matches('/').to_owned();
        let api = trim(api);
        let derived = |subdomain: &str, demo: &str, port: &str| {
            if api.contains("://demoapi.") {
                Some(api.replacen("://demoapi.", &format!("://{demo}."), 1))
            } else if api.contains("://api.") {
                Some(api.replacen("://api.", &format!("://{subdomain}."), 1))
            } else {
                let (host, path) = api.split_once(":8008")?;
                (path.is_empty() || path.starts_with('/')).then(|| format!("{host}:{port}{path}"))
            }
        };
        let web = web.map(|web| trim(&web)).or_else(|| derived("app", "demoapp", "8080"));
        let files = files.map(|files| trim(&files)).or_else(|| derived("files", "demofiles", "8081"));
        Self { api, web, files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(api: &str, web: Option<&str>, files: Option<&str>) {
        let hosts = Hosts::derive(api, None, None);
        assert_eq!((hosts.web.as_deref(), hosts.files.as_deref()), (web, files));
    }

    #[test]
    fn addresses_follow_from_the_api() {
        check("http://h:8008/", Some("http://h:8080"), Some("http://h:8081"));
        check("https://api.clear.ml", Some("https://app.clear.ml"), Some("https://files.clear.ml"));
        check("https://demoapi.x.io", Some("https://demoapp.x.io"), Some("https://demofiles.x.io"));
        check("http://h:18008", None, None);
        check("http://h:80081", None, None);
    }

    #[test]
    fn what_is_given_stays() {
        let hosts = Hosts::derive("http://h:8008", Some("http://w/".to_owned()), None);
        assert_eq!(hosts.web.as_deref(), Some("http://w"));
        assert_eq!(hosts.files.as_deref(), Some("http://h:8081"));
    }
}
