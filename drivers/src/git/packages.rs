//! Access to repositories that packages come from: the installer starts git itself, and git asks us. Where packages are
//! installed in an image, which need not have a git and must not have a credential, they are checked out for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use protocols::git::GitSettings;

use super::access::Access;
use super::error::GitError;
use super::package_source::PackageSource;
use super::reference::Reference;
use super::url::RepositoryUrl;
use super::{Checkout, archival, own_objects};
use crate::command::{CommandError, CommandLine, CommandRunner, Finished, ImageSite};

/// Runs commands whose git children get the credentials that code gets.
pub struct PackageAccess<'a> {
    access: Access<'a>,
    settings: &'a GitSettings,
    cache_dir: &'a Path,
    commands: &'a dyn CommandRunner,
    /// URLs of repositories as the lines have them now, and as they were written.
    written: Vec<(String, String)>,
    /// Whether there is a git where packages are installed, once that was looked for.
    has_git: OnceLock<bool>,
}

impl std::fmt::Debug for PackageAccess<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PackageAccess").finish_non_exhaustive()
    }
}

impl<'a> PackageAccess<'a> {
    /// For requirement `lines`, which come back without the credentials in URLs of repositories: those would be on
    /// the command line of git, and in the metadata of the environment. `cache_dir` is the root of the machine's caches.
    pub fn new(
        lines: &[String],
        settings: &'a GitSettings,
        cache_dir: &'a Path,
        commands: &'a dyn CommandRunner,
    ) -> Result<(Self, Vec<String>), GitError> {
        let found: Vec<Option<Reference<'_>>> = lines.iter().map(|line| Reference::in_line(line)).collect();
        let repositories = found.iter().flatten().map(|found| expanded(found.repository, commands));
        let repositories: Vec<String> = repositories.collect();
        let mut urls = repositories.iter().map(String::as_str);
        let access = Access::with_others(urls.next().unwrap_or(""), &urls.collect::<Vec<_>>(), settings, commands)?;
        let mut written = Vec::new();
        let mut cleaned = lines.to_vec();
        let named = found.iter().zip(&mut cleaned).filter_map(|(found, line)| Some((found.as_ref()?, line)));
        for ((found, line), repository) in named.zip(repositories) {
            let clean = RepositoryUrl::parse(&repository).without_secrets();
            line.replace_range(found.range.clone(), &format!("git+{clean}{}", found.rest));
            written.push((clean, repository));
        }
        Ok((Self { access, settings, cache_dir, commands, written, has_git: OnceLock::new() }, cleaned))
    }

    /// Whether what installers need is checked out for them: they run in an image, and this machine has git.
    pub(crate) fn checks_out(&self) -> bool {
        self.commands.image().is_some_and(|image| image.here.find("git").is_some())
    }

    fn has_git(&self) -> bool {
        *self.has_git.get_or_init(|| !self.commands.find_all("git").is_empty())
    }

    /// Checks out what a package is built from, submodules and large files included, with the git and the credentials of
    /// this machine. `into` is made. Where builds have no git, there is no repository in it: what they read from one to
    /// find out their version is in `.git_archival.txt`. Returns the id of the commit. Lines for people go to `progress`,
    /// without secrets.
    pub(crate) fn check_out(
        &self,
        source: &PackageSource,
        into: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<String, GitError> {
        let url = source.url_with_secrets();
        let url = self.written.iter().find(|(clean, _)| clean == url).map_or(url, |(_, written)| written);
        let here = self.commands.image().map_or(self.commands, |image| image.here);
        let checkout = Checkout {
            url,
            revision: &source.revision(),
            diff: "",
            into,
            cache_dir: self.cache_dir,
            settings: self.settings,
            commands: here,
        };
        let checked_out = checkout.run(progress)?;
        if !self.has_git() {
            archival::leave_repository(into, &checked_out.commit)?;
        } else if self.settings.cache.path.is_some() {
            // Containers see what is in the usual place.
            own_objects(into, here)?;
        }
        Ok(checked_out.commit)
    }
}

/// Whether a requirement line names a repository of git.
pub fn takes_from_git(line: &str) -> bool {
    Reference::in_line(line).is_some()
}

/// A URL with the variables that it names, as pip reads them in requirement files: `${TOKEN}`, in capitals. One that is
/// not set stays as it is.
fn expanded(url: &str, commands: &dyn CommandRunner) -> String {
    let is_of_name = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let mut parts = url.split("${");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let named = part.split_once('}').filter(|(name, _)| !name.is_empty() && name.chars().all(is_of_name));
        let value = named.and_then(|(name, _)| commands.variable(name)?.into_string().ok());
        match named.zip(value.filter(|value| !value.is_empty())) {
            Some(((_, rest), value)) => result.extend([value.as_str(), rest]),
            None => result.extend(["${", part]),
        }
    }
    result
}

impl CommandRunner for PackageAccess<'_> {
    fn run(&self, mut command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
        if self.checks_out() {
            // Programs of packages run in there.
            return self.commands.run(command, output);
        }
        let scrubber = self.access.scrubber();
        let git = self.access.remote_git(Path::new("/"));
        for (name, value) in git.variables {
            if name != "LC_ALL" && !command.variables.iter().any(|(set, _)| *set == name) {
                command.variables.push((name, value));
            }
        }
        self.commands.run(command, &mut |line| output(&scrubber.scrub(line)))
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.commands.variable(name)
    }

    fn is_stopped(&self) -> bool {
        self.commands.is_stopped()
    }

    fn image(&self) -> Option<ImageSite<'_>> {
        self.commands.image()
    }

    fn is_executable(&self, path: &Path) -> bool {
        self.commands.is_executable(path)
    }

    fn find_all(&self, name: &str) -> Vec<PathBuf> {
        self.commands.find_all(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;

    #[test]
    fn credentials_leave_the_lines_and_reach_git() {
        let variables = ["PATH", "HOME"].map(|name| (name.into(), std::env::var_os(name).unwrap()));
        let word = ("HOSTLER_TEST_WORD".into(), "other-word".into());
        let commands = SystemCommands::new(variables.into_iter().chain([word]), Arc::default());
        let lines = [
            "six==1.17.0",
            "a @ git+https://me:s3cret@h.org/o/a.git@v1#subdirectory=x",
            "git+ssh://git@h.org/o/b@main",
            "c @ git+https://h.org/o/c ; python_version > '3' # me@x",
            "-e \"git+https://robot:${HOSTLER_TEST_WORD}@other.org/o/@d/d@v2#egg=d\" # git+https://me:s3cret@h.org/o/d",
            "e @ git+https://me:${NOWHERE}@third.org/o/e@v1",
        ]
        .map(str::to_owned);
        let (settings, cache) = (GitSettings::default(), Path::new("/cache"));
        let (access, clean) = PackageAccess::new(&lines, &settings, cache, &commands).unwrap();
        assert_eq!(clean[0], lines[0]);
        assert_eq!(clean[1], "a @ git+https://h.org/o/a.git@v1#subdirectory=x");
        assert_eq!(clean[2..4], lines[2..4]);
        assert_eq!(clean[4], "-e \"git+https://other.org/o/@d/d@v2#egg=d\" # git+https://me:s3cret@h.org/o/d");
        assert_eq!(clean[5], "e @ git+https://third.org/o/e@v1");
        let shell =
            CommandLine::new("sh").arguments(["-c", "$GIT_ASKPASS 'Password for https://me@h.org'; echo s3cret"]);
        let finished = access.run(shell, &mut |line| assert_eq!(line, "***")).unwrap();
        assert_eq!(finished.tail, ["s3cret", "s3cret"]);
        let other = CommandLine::new("sh").arguments(["-c", "$GIT_ASKPASS 'Password for https://robot@other.org'"]);
        assert_eq!(access.run(other, &mut |line| assert_eq!(line, "***")).unwrap().tail, ["other-word"]);
        assert!(takes_from_git(&lines[2]) && !takes_from_git(&lines[0]) && !takes_from_git("git+x"));
    }
}
