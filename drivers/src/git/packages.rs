//! Access to repositories that packages come from: the installer starts git itself, and git asks us.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use protocols::git::GitSettings;

use super::access::Access;
use super::error::GitError;
use super::url::RepositoryUrl;
use crate::command::{CommandError, CommandLine, CommandRunner, Finished, ImageSite};

/// Runs commands whose git children get the credentials that code gets.
pub struct PackageAccess<'a> {
    access: Access<'a>,
    commands: &'a dyn CommandRunner,
}

impl std::fmt::Debug for PackageAccess<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PackageAccess").finish_non_exhaustive()
    }
}

impl<'a> PackageAccess<'a> {
    /// For requirement `lines`, which come back without the credentials in URLs of repositories: those would be on
    /// the command line of git, and in the metadata of the environment.
    pub fn new(
        lines: &[String],
        settings: &GitSettings,
        commands: &'a dyn CommandRunner,
    ) -> Result<(Self, Vec<String>), GitError> {
        let urls: Vec<&str> = lines.iter().filter_map(|line| git_url(line)).collect();
        let (first, others) = urls.split_first().map_or(("", &[][..]), |(first, others)| (*first, others));
        let access = Access::with_others(first, others, settings, commands)?;
        let lines = lines.iter().map(|line| match git_url(line) {
            Some(url) => {
                let (repository, rest) = split_revision(url);
                let clean = RepositoryUrl::parse(repository).without_secrets();
                line.replacen(url, &format!("{clean}{rest}"), 1)
            }
            None => line.clone(),
        });
        let lines = lines.collect();
        Ok((Self { access, commands }, lines))
    }
}

/// Whether a requirement line names a repository of git.
pub fn takes_from_git(line: &str) -> bool {
    git_url(line).is_some()
}

/// The URL behind `git+`, with revision and fragment.
fn git_url(line: &str) -> Option<&str> {
    let line = line.split(" #").next().unwrap_or(line);
    let (_, rest) = line.split_once("git+")?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|url| url.contains("://"))
}

/// The repository, and `@revision#fragment`.
fn split_revision(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let path = url[start..].find('/').map_or(url.len(), |at| start + at);
    let end = url[path..].find(['@', '#']).map_or(url.len(), |at| path + at);
    url.split_at(end)
}

impl CommandRunner for PackageAccess<'_> {
    fn run(&self, mut command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
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
        let commands = SystemCommands::inheriting(Arc::default());
        let lines = [
            "six==1.17.0",
            "a @ git+https://me:s3cret@h.org/o/a.git@v1#subdirectory=x",
            "git+ssh://git@h.org/o/b@main",
            "c @ git+https://h.org/o/c ; python_version > '3' # me@x",
        ]
        .map(str::to_owned);
        let (access, clean) = PackageAccess::new(&lines, &GitSettings::default(), &commands).unwrap();
        assert_eq!(clean[0], lines[0]);
        assert_eq!(clean[1], "a @ git+https://h.org/o/a.git@v1#subdirectory=x");
        assert_eq!(clean[2..], lines[2..]);
        let shell =
            CommandLine::new("sh").arguments(["-c", "$GIT_ASKPASS 'Password for https://me@h.org'; echo s3cret"]);
        let finished = access.run(shell, &mut |line| assert_eq!(line, "***")).unwrap();
        assert_eq!(finished.tail, ["s3cret", "s3cret"]);
        assert!(takes_from_git(&lines[2]) && !takes_from_git(&lines[0]) && !takes_from_git("git+x"));
    }
}
