//! The part of a requirement that names a repository: `git+URL@REVISION#subdirectory=FOLDER`.

use protocols::task::Revision;

use super::reference::Reference;
use super::url::RepositoryUrl;

/// A repository, a revision and a folder in it, from which a package is built.
///
/// Not `Debug`: the URL may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PackageSource {
    /// As it was written, without `git+`.
    url: String,
    revision: Option<String>,
    subdirectory: Option<String>,
}

impl PackageSource {
    /// Of what a requirement names. `None` where that is no repository that another machine could reach: a path, or a
    /// text with something to be filled in.
    pub(crate) fn of(reference: &Reference<'_>) -> Option<Self> {
        Self::new(reference.repository, reference.revision(), reference.value("subdirectory"))
    }

    /// The same from its parts. `None` as for [`PackageSource::of`].
    pub(crate) fn new(url: &str, revision: Option<&str>, subdirectory: Option<&str>) -> Option<Self> {
        // A program that makes its requirements when it runs.
        let is_template = url.contains(['{', '}', '$', '<']) || url.contains("%s") || url.contains("%(");
        RepositoryUrl::parse(url).host().filter(|_| !is_template)?;
        // It is a folder of the repository, whatever it says.
        let is_below = |folder: &&str| !folder.split('/').any(|part| part == "..") && !folder.starts_with('/');
        let subdirectory = subdirectory.map(|folder| folder.trim_end_matches('/')).filter(|folder| !folder.is_empty());
        if !subdirectory.as_ref().is_none_or(is_below) {
            return None;
        }
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Some(Self { url: url.to_owned(), revision: owned(revision), subdirectory: owned(subdirectory) })
    }

    /// The same at one commit.
    pub(crate) fn at(&self, commit: &str) -> Self {
        Self { revision: Some(commit.to_owned()), ..self.clone() }
    }

    /// Whether another one names the same folder of the same repository, at whatever revision.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.url() == other.url() && self.subdirectory == other.subdirectory
    }

    /// As it was written, a password included.
    pub(super) fn url_with_secrets(&self) -> &str {
        &self.url
    }

    /// The repository, in a form that is a URL and has no secrets.
    pub(crate) fn url(&self) -> String {
        RepositoryUrl::parse(&self.url).as_url()
    }

    /// What was asked for, if anything was.
    pub(crate) fn requested(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The folder in which the package is.
    pub(crate) fn subdirectory(&self) -> Option<&str> {
        self.subdirectory.as_deref()
    }

    /// A name for people, and for a folder.
    pub(crate) fn name(&self) -> String {
        RepositoryUrl::parse(&self.url).name()
    }

    /// As it stands in a requirement, without secrets.
    pub(crate) fn requirement(&self) -> String {
        let revision = self.revision.as_ref().map(|revision| format!("@{revision}")).unwrap_or_default();
        let folder = self.subdirectory.as_ref().map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
        format!("git+{}{revision}{folder}", self.url())
    }

    /// What to check out.
    pub(super) fn revision(&self) -> Revision {
        let Some(revision) = &self.revision else { return Revision::Default };
        let is_id = (4..=40).contains(&revision.len()) && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A name may be one of a branch or of a tag: whoever looks for a branch finds the tag as well.
        if is_id { Revision::Commit(revision.clone()) } else { Revision::Branch(revision.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_requirement_names_is_read() {
        let check = |text: &str, expected: Option<(&str, Revision)>| {
            let source = Reference::in_line(text).and_then(|found| PackageSource::of(&found));
            let found = source.as_ref().map(|source| (source.requirement(), source.revision()));
            assert_eq!(found, expected.map(|(text, revision)| (text.to_owned(), revision)), "{text}");
        };
        let id = "0123456789abcdef0123456789abcdef01234567";
        check("git+https://h/o/r.git", Some(("git+https://h/o/r.git", Revision::Default)));
        check(&format!("git+https://h/r@{id}"), Some((&format!("git+https://h/r@{id}"), Revision::Commit(id.into()))));
        check("git+https://h/r@v1.2#egg=x", Some(("git+https://h/r@v1.2", Revision::Branch("v1.2".into()))));
        check(
            "git+ssh://git@h/r@a/b#egg=x&subdirectory=s/t/",
            Some(("git+ssh://git@h/r@a/b#subdirectory=s/t", Revision::Branch("a/b".into()))),
        );
        check("git+https://me:pw%40@h/r", Some(("git+https://h/r", Revision::Default)));
        for text in [
            "git+file:///srv/r",
            "git+https://{TOKEN}@h/r",
            "git+https://$T@h/r",
            "git+https://%s/r",
            "https://h/r",
            "git+https://h/r#subdirectory=../../etc",
            "git+https://h/r#subdirectory=/etc",
        ] {
            check(text, None);
        }
        let scp = PackageSource::new("git@h.org:o/r.git", Some("main"), None).unwrap();
        assert_eq!(scp.requirement(), "git+ssh://git@h.org/o/r.git@main");
        assert_eq!(scp.at(id).requirement(), format!("git+ssh://git@h.org/o/r.git@{id}"));
    }
}
