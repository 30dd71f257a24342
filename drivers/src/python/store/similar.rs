//! Environments that another question has as its answer too, known by what is installed in them.

use std::collections::BTreeMap;

use super::{Ready, Store, record};
use crate::python::requirement_line::{normalised_name, package_name};

impl Store {
    /// Whether an environment of this kind has these packages, in whatever versions.
    pub(super) fn has_similar(&self, kind: &[String], names: &[String]) -> bool {
        self.of_kind(kind).any(|(_, ready)| {
            let has = |name: &String| ready.packages.iter().any(|line| package_name(line).as_ref() == Some(name));
            names.iter().all(has)
        })
    }

    /// The environment of this kind that has exactly these packages.
    pub(super) fn with_packages(&self, kind: &[String], lines: &[String]) -> Option<String> {
        let wanted = exact(lines)?;
        self.of_kind(kind).find(|(_, ready)| exact(&ready.packages).as_ref() == Some(&wanted)).map(|(id, _)| id)
    }

    /// Whole environments that differ in their requirements alone.
    fn of_kind(&self, kind: &[String]) -> impl Iterator<Item = (String, Ready)> {
        let folders = record::entries(&self.built()).unwrap_or_default();
        let ids = folders.into_iter().filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()));
        let ready = ids.filter_map(|id| self.ready(&id).map(|ready| (id, ready)));
        ready.filter(|(_, ready)| ready.question.lines().starts_with(kind))
    }
}

/// Lines that install the same versions again, where each has one.
pub(super) fn pins(packages: &[String]) -> Option<Vec<String>> {
    exact(packages).map(|_| packages.to_vec())
}

/// The version of each package; `None` where one is not known by its version alone. Hashes that follow are not
/// looked at: within one kind they come from the same indexes.
fn exact(lines: &[String]) -> Option<BTreeMap<String, String>> {
    lines
        .iter()
        .map(|line| {
            let (name, rest) = line.split_once("==")?;
            let version = rest.split_whitespace().next()?;
            let is_marked = rest.contains(';') || name.contains([' ', '[', '@']);
            (!is_marked).then(|| (normalised_name(name), version.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn packages_are_compared_by_name_and_version() {
        let frozen = exact(&lines(&["Foo_Bar==1.0", "six==1.17.0"]));
        assert!(frozen.is_some());
        assert_eq!(exact(&lines(&["six==1.17.0 --hash=sha256:00", "foo-bar==1.0 --hash=sha256:11"])), frozen);
        assert_ne!(exact(&lines(&["foo-bar==1.0"])), frozen);
        for unknown in ["six @ git+https://h/r@c", "six>=1", "six==1.0 ; python_version < '4'", "-e git+https://h/r"] {
            assert_eq!(exact(&lines(&[unknown])), None, "{unknown}");
            assert_eq!(pins(&lines(&["six==1", unknown])), None, "{unknown}");
        }
    }
}
