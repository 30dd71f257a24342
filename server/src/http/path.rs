//! Paths of the API: `[/v<version>]/service.action[/]`.

use protocols::clearml::envelope::ApiVersion;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiPath {
    /// The version, if the path has one.
    pub(super) version: Option<ApiVersion>,
    /// The service.
    pub(super) service: String,
    /// The action.
    pub(super) action: String,
}

/// Reads a path; `None` when it is no path of the API.
pub(super) fn parse(path: &str) -> Option<ApiPath> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let (version, name) = match path.split_once('/') {
        Some((version, name)) => (Some(version_of(version)?), name),
        None => (None, path),
    };
    let (service, action) = name.split_once('.')?;
    (is_name(service) && is_name(action)).then(|| ApiPath {
        version,
        service: service.to_owned(),
        action: action.to_owned(),
    })
}

fn version_of(part: &str) -> Option<ApiVersion> {
    let digits = part.strip_prefix('v')?;
    if digits.bytes().filter(u8::is_ascii_digit).count() < 2 {
        return None;
    }
    digits.parse().ok()
}

fn is_name(part: &str) -> bool {
    part.len() >= 2
        && part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && part.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_api_are_told_from_others() {
        let named = |version: Option<(u32, u32)>| {
            let version = version.map(|(major, minor)| ApiVersion::new(major, minor));
            Some(ApiPath { version, service: "tasks".to_owned(), action: "get_all".to_owned() })
        };
        assert_eq!(parse("/tasks.get_all"), named(None));
        assert_eq!(parse("/tasks.get_all/"), named(None));
        assert_eq!(parse("/v2.23/tasks.get_all"), named(Some((2, 23))));
        assert_eq!(parse("/v999.0/tasks.get_all"), named(Some((999, 0))));
        assert_eq!(parse("/v25/tasks.get_all"), named(Some((25, 0))));
        for other in [
            "/",
            "",
            "/foo",
            "/vX/tasks.get_all",
            "/v2/tasks.get_all",
            "/a/b/c.d",
            "/t.g",
            "/a.b.c",
            "/1a.bc",
            "/tasks.",
            "/täsks.get",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
