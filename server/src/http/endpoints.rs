//! The list of the endpoints: their versions, who may call them, their fields.
//!
//! One text file holds it; the checks before a call, `server.endpoints`, the tests and the documentation all read that.

use std::collections::HashMap;
use std::sync::LazyLock;

use protocols::clearml::envelope::ApiVersion;

/// The newest version, taken when a path names none.
pub(super) const NEWEST: ApiVersion = ApiVersion::new(2, 34);

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody; credentials are looked at when there are any.
    Open,
    /// Whoever has credentials.
    User,
    /// Administrators.
    Admin,
}

/// What the list says of one endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `service.action`.
    pub(crate) name: &'static str,
    /// Versions in which it appeared or changed its form, the oldest first.
    pub(crate) versions: Vec<ApiVersion>,
    /// Who may call it.
    pub(crate) access: Access,
    /// Names of the fields of a request, and whether they are required.
    pub(crate) fields: Vec<(&'static str, bool)>,
}

impl Endpoint {
    /// The form that a call of `version` gets; `None` when the endpoint is younger.
    pub(super) fn form(&self, version: ApiVersion) -> Option<ApiVersion> {
        self.versions.iter().rev().copied().find(|form| *form <= version)
    }
}

/// All endpoints by name. Names of tables that contradict themselves are found by a test.
static ENDPOINTS: LazyLock<HashMap<&'static str, Endpoint>> = LazyLock::new(|| {
    let lines = include_str!("endpoints.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(read).map(|endpoint| (endpoint.name, endpoint)).collect()
});

/// The endpoint of this name.
pub(crate) fn find(name: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.get(name)
}

/// All endpoints, by name.
pub(crate) fn all() -> Vec<&'static Endpoint> {
    let mut all: Vec<&Endpoint> = ENDPOINTS.values().collect();
    all.sort_by_key(|endpoint| endpoint.name);
    all
}

fn read(line: &'static str) -> Option<Endpoint> {
    let mut columns = line.split('|').map(str::trim);
    let name = columns.next()?;
    let versions = columns.next()?.split(' ').map(|version| version.parse().ok()).collect::<Option<_>>()?;
    let access = match columns.next()? {
        "open" => Access::Open,
        "user" => Access::User,
        "admin" => Access::Admin,
        _ => return None,
    };
    let fields = columns.next()?.split_whitespace();
    let fields = fields.map(|field| field.strip_prefix('*').map_or((field, false), |field| (field, true))).collect();
    columns.next().is_none().then_some(Endpoint { name, versions, access, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_the_lines_are_sorted() {
        let lines = include_str!("endpoints.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let names: Vec<&str> = lines.map(|line| read(line).unwrap_or_else(|| panic!("{line}")).name).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "sorted, each once");
        assert_eq!(names, all().iter().map(|endpoint| endpoint.name).collect::<Vec<_>>());
        assert!(all().iter().all(|endpoint| endpoint.versions.is_sorted()));
    }

    #[test]
    fn a_call_gets_the_newest_form_of_its_version() {
        let images = find("events.debug_images").unwrap();
        assert_eq!(images.form(ApiVersion::new(2, 5)), Some(ApiVersion::new(1, 8)));
        assert_eq!(images.form(NEWEST), Some(ApiVersion::new(2, 7)));
        assert_eq!(find("queues.get_all").unwrap().form(ApiVersion::new(1, 5)), None);
        assert!(find("workers.cluster_report").is_none());
    }
}
