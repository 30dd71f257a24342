//! What every environment has besides what was asked for: programs call pip, old packages import setuptools.

use std::path::Path;

use super::error::PythonError;
use super::installer::{Installer, Site};
use super::reason;
use crate::command::CommandLine;

/// Their names.
pub(super) const SEEDS: [&str; 3] = ["pip", "setuptools", "wheel"];

impl Installer<'_> {
    /// Brings them to this machine while something else is done, which mostly waits for the network. A failure means
    /// nothing yet, and is said by whoever installs them.
    pub(super) fn beside_seeds<T>(
        &self,
        uv: &Path,
        site: &Site<'_>,
        work: impl FnOnce() -> Result<T, PythonError>,
    ) -> Result<T, PythonError> {
        let (command, commands) = (self.seed_command(uv, site)?, self.commands);
        std::thread::scope(|scope| {
            scope.spawn(move || drop(commands.run(command, &mut |_| {})));
            work()
        })
    }

    /// What every environment has; of setuptools, later versions have lost what old packages need it for.
    pub(super) fn seeds(&self) -> &'static [&'static str] {
        if self.interpreter.is_at_least(3, 12) { &["pip"] } else { &["pip", "setuptools<81", "wheel"] }
    }

    /// Brings what every environment has into uv's cache.
    fn seed_command(&self, uv: &Path, site: &Site<'_>) -> Result<CommandLine, PythonError> {
        let command = CommandLine::new(uv).arguments(["pip", "install", "--quiet", "--no-deps", "--python"]);
        let command =
            command.argument(&self.interpreter.path).argument("--target").argument(site.scratch.join("seeds"));
        self.dressed(command.arguments(self.seeds()).directory(site.scratch), site, self.uv_variables())
    }

    /// Adds pip, and what Python before 3.12 had in every environment. Does without where no index can be reached.
    pub(super) fn seed(&self, uv: &Path, site: &Site<'_>) -> Result<(), PythonError> {
        let command = CommandLine::new(uv).arguments(["pip", "install", "--quiet", "--python"]);
        let command = command.argument(&site.python).arguments(self.seeds());
        let command = self.dressed(command.directory(site.folder), site, self.uv_variables())?;
        let finished = self.commands.run(command, &mut |_| {})?;
        if !finished.is_success() {
            let why = reason::reason(&finished.tail, self.indexes.scrubber());
            (self.progress)(&format!("the environment has no pip of its own: {why}"));
        }
        Ok(())
    }
}
