//! Packages in an order, where it matters: those whose builds look for other packages come after these, and are built
//! where they find them. Which ones is configured (`priority_packages`, `post_packages`), or seen when a build fails.

use protocols::packaging::PackageSettings;

use super::error::PythonError;
use super::installer::{Engine, Installer, Site};
use super::reason;
use super::requirement_line::normalised_name;
use super::requirements::Requirements;
use crate::command::{CommandLine, Finished};

/// What comes first unless the configuration says so: as with the stock agent. No reason to go in order by itself:
/// all at once gives the same packages.
const FIRST: [&str; 5] = ["cython", "numpy", "setuptools", "pip", "uv"];
/// What comes last unless the configuration says so.
const LAST: [&str; 1] = ["horovod"];

/// Which packages come when. Names are normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    first: Vec<String>,
    last: Vec<String>,
}

impl Order {
    /// What is configured, as far as these requirements name it.
    pub(super) fn of(settings: &PackageSettings, requirements: &Requirements) -> Self {
        let names = requirements.names();
        let present = |lists: [&Vec<String>; 2]| -> Vec<String> {
            let configured: Vec<String> = lists.into_iter().flatten().map(|name| normalised_name(name)).collect();
            names.iter().filter(|name| configured.contains(name)).cloned().collect()
        };
        let mut first = present([&settings.priority, &settings.priority_optional]);
        first.retain(|name| !FIRST.contains(&name.as_str()));
        let mut last = present([&settings.post, &settings.post_optional]);
        if settings.post.is_empty() {
            last.extend(names.iter().filter(|name| LAST.contains(&name.as_str())).cloned());
        }
        // Alone there is no order.
        if names.len() < 2 { Self::default() } else { Self { first, last } }
    }

    /// Whether one installation of all is not enough.
    pub(super) fn matters(&self) -> bool {
        !self.first.is_empty() || !self.last.is_empty()
    }

    /// Lines of a question.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let first = self.first.iter().map(|name| format!("first: {name}"));
        first.chain(self.last.iter().map(|name| format!("last: {name}")))
    }
}

impl Installer<'_> {
    /// Whether a failed build looked for something that others may bring; it comes last from now on.
    pub(super) fn learns_order(&self, failed: &Finished) -> bool {
        let Some(name) = reason::lonely_build(&failed.tail) else { return false };
        let mut order = self.order.borrow_mut();
        if order.last.contains(&name) || self.requirements.lines().len() < 2 {
            return false;
        }
        (self.progress)(&format!("{name} needs other packages to be there when it is built: they are installed first"));
        order.last.push(name);
        true
    }

    /// Installs in order, and learns on the way.
    pub(super) fn install_in_order(&self, engine: &Engine, site: &Site<'_>) -> Result<(), PythonError> {
        loop {
            let order = self.order.borrow().clone();
            match self.try_in_order(engine, site, &order)? {
                None => return Ok(()),
                Some(failed) if matches!(engine, Engine::Uv(_)) && self.learns_order(&failed) => {}
                Some(failed) => return Err(self.failure(site, &failed)?),
            }
        }
    }

    /// What failed, if something did.
    fn try_in_order(&self, engine: &Engine, site: &Site<'_>, order: &Order) -> Result<Option<Finished>, PythonError> {
        let first: Vec<String> = order.first.iter().cloned().chain(FIRST.map(str::to_owned)).collect();
        let (_, before) = self.requirements.partition(&order.last);
        let (first, _) = before.partition(&first);
        let mut beside = Vec::new();
        if let (Engine::Uv(uv), false) = (engine, order.last.is_empty()) {
            // They are built in the environment itself, where they find what is there, and need the usual tools.
            beside.extend(order.last.iter().flat_map(|name| ["--no-build-isolation-package".to_owned(), name.clone()]));
            let tools = CommandLine::new(uv).arguments(["pip", "install", "--quiet", "--no-deps", "--python"]);
            let tools = tools.argument(&site.python).arguments(["setuptools<81", "wheel"]);
            self.run(engine, site, tools.directory(site.folder))?;
        }
        for part in [&first, &before, self.requirements] {
            if part.is_empty() {
                continue;
            }
            if let Some(failed) = self.install_part(engine, site, part, &beside)? {
                return Ok(Some(failed));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::requirements::Source;
    use super::*;

    fn order(settings: &PackageSettings, lines: &[&str]) -> Order {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Order::of(settings, &Requirements::read(&Source::Lines(&lines), None, &|_| {}).unwrap())
    }

    #[test]
    fn only_what_is_there_and_not_usual_makes_an_order() {
        let settings = PackageSettings {
            priority: vec!["Cython".into(), "numpy".into(), "My_Base".into()],
            post_optional: vec!["apex".into()],
            ..PackageSettings::default()
        };
        assert!(!order(&settings, &["numpy==2.2.6", "cython", "pandas"]).matters());
        assert!(!order(&settings, &["my-base==1"]).matters(), "there is nothing to come before");
        let found = order(&settings, &["pandas", "my-base==1", "apex", "horovod"]);
        assert_eq!(found.lines().collect::<Vec<_>>(), ["first: my-base", "last: apex", "last: horovod"]);
        let own = PackageSettings { post: vec!["apex".into()], ..PackageSettings::default() };
        assert!(!order(&own, &["horovod", "torch"]).matters(), "another list takes the place of the usual one");
    }
}
