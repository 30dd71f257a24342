//! What every environment has besides what was asked for: programs call pip, old packages import setuptools.

use std::path::Path;

use super::error::PythonError;
use super::inputs::{NOT_FOR_UV, write_input};
use super::installer::{Engine, Installer, Site};
use super::requirement_line::package_name;
use super::{installed, reason};
use crate::command::CommandLine;

/// Their names.
pub(super) const SEEDS: [&str; 3] = ["pip", "setuptools", "wheel"];

/// Whether an installation failed because of them: they cannot be had, or not beside what was asked for.
pub(super) fn is_about_seeds(tail: &[String]) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let has_solution = !tail.iter().any(|line| line.contains("No solution found"));
    let mut words = tail.iter().flat_map(|line| line.split(|letter| !is_part(letter)));
    !has_solution && words.any(|word| SEEDS.contains(&word.trim_end_matches('.')))
}

impl Installer<'_> {
    /// As [`Self::install`], with what every environment has: one more run of uv takes longer than what it installs.
    /// Whether that could be had.
    pub(super) fn install_with_seeds(&self, engine: &Engine, site: &Site<'_>) -> Result<bool, PythonError> {
        let inputs = self.write_inputs(engine, site, self.requirements)?;
        let first = self.run_install(engine, site, &inputs, None, &self.missing_seeds())?;
        if first.is_success() {
            return Ok(true);
        }
        let failed = match is_about_seeds(&first.tail) {
            // An index of one's own need not have pip, and who asks for a setuptools of today gets it.
            true => {
                (self.progress)(
                    "that is about pip, setuptools and wheel, which nobody asked for: installing without them",
                );
                self.install_part(engine, site, self.requirements, &[])?
            }
            false => self.install_contradicting(engine, site, &inputs, &[], first)?,
        };
        self.install_otherwise(engine, site, failed).map(|()| false)
    }

    /// Installs exactly these versions, nothing that they would like to have, and what every environment has. Whether
    /// the latter could be had.
    pub(super) fn install_resolution(
        &self,
        uv: &Path,
        site: &Site<'_>,
        resolution: &[String],
    ) -> Result<bool, PythonError> {
        let mut text = self.requirements.options_text(&NOT_FOR_UV);
        resolution.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
        let exact = write_input(site.scratch, "exact.txt", &self.stand_in(site, text)?)?;
        let names: Vec<String> = resolution.iter().filter_map(|line| package_name(line)).collect();
        let seeds = self.seeds_besides(&names);
        let engine = Engine::Uv(uv.to_owned());
        let command = |seeds: &[String]| {
            let command = CommandLine::new(uv).arguments(["pip", "install", "--no-deps", "--python"]);
            let command = command.argument(&site.python).argument("-r").argument(&exact);
            command.arguments(seeds).directory(site.folder)
        };
        if self.run(&engine, site, command(&seeds))?.is_success() {
            return Ok(true);
        }
        // An index of one's own need not have pip.
        let finished = self.run(&engine, site, command(&[]))?;
        if finished.is_success() { Ok(false) } else { Err(self.failure(site, &finished)?) }
    }

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

    /// What every environment has, and needs nothing in turn: later versions of wheel do. Later versions of setuptools
    /// have lost what old packages need it for.
    pub(super) fn seeds(&self) -> &'static [&'static str] {
        if self.interpreter.is_at_least(3, 12) { &["pip"] } else { &["pip", "setuptools<81", "wheel<0.46"] }
    }

    /// Those that the requirements do not name.
    pub(super) fn missing_seeds(&self) -> Vec<String> {
        self.seeds_besides(&self.requirements.names())
    }

    /// Those that are not among the names.
    pub(super) fn seeds_besides(&self, names: &[String]) -> Vec<String> {
        let is_missing = |seed: &&str| !package_name(seed).is_some_and(|name| names.contains(&name));
        self.seeds().iter().copied().filter(is_missing).map(str::to_owned).collect()
    }

    /// Brings what every environment has into uv's cache; where there is a processor for one alone, after whatever the
    /// task waits for.
    fn seed_command(&self, uv: &Path, site: &Site<'_>) -> Result<CommandLine, PythonError> {
        let command = match self.commands.image() {
            Some(_) => CommandLine::new(uv),
            None => CommandLine::new("nice").arguments(["-n", "19"]).argument(uv),
        };
        let command = command.arguments(["pip", "install", "--quiet", "--no-deps", "--python"]);
        let command =
            command.argument(&self.interpreter.path).argument("--target").argument(site.scratch.join("seeds"));
        self.dressed(command.arguments(self.seeds()).directory(site.scratch), site, self.uv_variables())
    }

    /// Adds those that are not there yet, whatever has brought the others. They are in uv's cache mostly: then no index
    /// is asked for them, which takes longer than all the rest. Does without where none can be reached.
    pub(super) fn seed(&self, uv: &Path, site: &Site<'_>) -> Result<(), PythonError> {
        let missing = self.seeds_besides(&installed::names(&site.environment));
        if missing.is_empty() {
            return Ok(());
        }
        let mut why = String::new();
        for offline in [Some("--offline"), None] {
            let command = CommandLine::new(uv).arguments(["pip", "install", "--quiet", "--no-deps"]);
            let command = command.arguments(offline).argument("--python").argument(&site.python);
            let command = command.arguments(&missing).directory(site.folder);
            let mut command = self.dressed(command, site, self.uv_variables())?;
            if self.commands.image().is_some() {
                // A container may have no way out: who needs pip waits for that once, and not for minutes.
                command = command.variable("UV_HTTP_RETRIES", "0").variable("UV_HTTP_CONNECT_TIMEOUT", "5");
            }
            let finished = self.commands.run(command, &mut |_| {})?;
            if finished.is_success() {
                return Ok(());
            }
            why = reason::reason(&finished.tail, self.indexes.scrubber());
        }
        (self.progress)(&format!("the environment has no pip of its own: {why}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_about_them_where_no_solution_names_them() {
        let is_about =
            |lines: &[&str]| is_about_seeds(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let unsolved = "error: No solution found when resolving dependencies";
        assert!(is_about(&[unsolved, "Because pip was not found in the package registry and you require pip"]));
        assert!(is_about(&[unsolved, "Because you require setuptools<81 and setuptools>=81"]));
        assert!(!is_about(&[unsolved, "Because pip-tools was not found and you require pip-tools"]));
        assert!(!is_about(&["error: Failed to build `x`", "ModuleNotFoundError: No module named 'setuptools'"]));
    }
}
