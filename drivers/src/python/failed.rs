//! What is said where packages cannot be installed.

use super::error::PythonError;
use super::inputs::write_input;
use super::installer::{Engine, Installer, Site};
use super::reason;
use crate::command::{CommandLine, Finished};

/// Requirement options that name indexes.
const INDEX_OPTIONS: [&str; 2] = ["--index-url", "--extra-index-url"];

impl Installer<'_> {
    /// The error of an installation that has failed.
    pub(super) fn failure(&self, site: &Site<'_>, finished: &Finished) -> Result<PythonError, PythonError> {
        self.check_disk(site, finished)?;
        let mut tail = finished.tail.clone();
        tail.extend(self.refusals(site, finished)?);
        let detail = reason::reason(&tail, self.indexes.scrubber());
        Ok(PythonError::Install { detail, is_transient: reason::is_network_failure(&finished.tail) })
    }

    pub(super) fn check_disk(&self, site: &Site<'_>, finished: &Finished) -> Result<(), PythonError> {
        match reason::is_disk_full(&finished.tail) {
            true => Err(PythonError::DiskFull { path: site.folder.to_owned() }),
            false => Ok(()),
        }
    }

    /// What uv says about indexes that refuse to answer for packages that were not found. While it takes the best of all
    /// indexes, it passes over those in silence: so they are asked once more for these packages, one after another.
    fn refusals(&self, site: &Site<'_>, finished: &Finished) -> Result<Vec<String>, PythonError> {
        let names = reason::missing(&finished.tail);
        let has_indexes = self.indexes.has_own() || INDEX_OPTIONS.iter().any(|option| self.requirements.has(option));
        let Engine::Uv(uv) = self.choose_engine()? else { return Ok(Vec::new()) };
        if names.is_empty() || !has_indexes || finished.tail.iter().any(|line| reason::is_refusal(line)) {
            return Ok(Vec::new());
        }
        let options = INDEX_OPTIONS.iter().flat_map(|name| self.requirements.values(name).map(move |url| (name, url)));
        let mut text: String = options.map(|(name, url)| format!("{name} {url}\n")).collect();
        names.iter().for_each(|name| text.extend([name, "\n"]));
        let asked = write_input(site.scratch, "missing.txt", &text)?;
        let command = CommandLine::new(uv).arguments(["pip", "compile", "--quiet", "--no-deps", "--python"]);
        let command = command.argument(&self.interpreter.path).argument(asked).directory(site.scratch);
        let command = self.dressed(command, site, self.uv_variables())?.variable("UV_INDEX_STRATEGY", "first-index");
        let answer = self.commands.run(command, &mut |_| {})?;
        let found: Vec<String> = answer.tail.into_iter().filter(|line| reason::is_refusal(line)).collect();
        found.iter().for_each(|line| (self.progress)(&self.indexes.scrubber().scrub(line)));
        Ok(found)
    }
}
