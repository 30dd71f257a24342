//! What would be done for a repository, and whether it works: for people, before a task needs it.

use std::path::Path;

use protocols::git::{GitSettings, TokenKind};
use serde::Serialize;

use super::access::{Access, Rule};
use super::error::GitError;
use super::output;
use super::url::RepositoryUrl;
use crate::command::CommandRunner;

/// How a repository would be reached. Without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The repository as it was asked for.
    pub asked: String,
    /// What git is given.
    pub url: String,
    /// Why these two differ, or do not.
    pub rule: String,
    /// What opens it.
    pub credential: String,
    /// Whether the remote answered.
    pub works: bool,
    /// The commit of the remote's default branch, or git's complaint.
    pub answer: String,
}

/// Explains a URL and asks the remote for its default branch.
pub fn explain(url: &str, settings: &GitSettings, commands: &dyn CommandRunner) -> Result<Explanation, GitError> {
    let asked = RepositoryUrl::parse(url);
    let access = Access::new(url, settings, commands)?;
    let command = access.remote_git(Path::new("/")).arguments(["ls-remote", "--", &access.url().for_git(), "HEAD"]);
    let finished = commands.run(command, &mut |_| {})?;
    let head = finished.tail.iter().find_map(|line| line.strip_suffix("HEAD"));
    let answer = match (finished.is_success(), head) {
        (true, Some(commit)) => format!("HEAD is {}", commit.trim()),
        (true, None) => "the repository is there and empty".to_owned(),
        (false, _) => output::reason(&finished.tail, access.scrubber()),
    };
    Ok(Explanation {
        asked: asked.without_secrets(),
        url: access.url().without_secrets(),
        rule: rule(&access, settings),
        credential: credential(&access, settings),
        works: finished.is_success(),
        answer,
    })
}

fn rule(access: &Access<'_>, settings: &GitSettings) -> String {
    match access.rule() {
        Rule::ForcedSsh => "agent.force_git_ssh_protocol: https becomes ssh".to_owned(),
        Rule::TranslatedSsh => {
            "agent.translate_ssh: there are credentials for this host, so ssh becomes https".to_owned()
        }
        Rule::AsGiven if settings.force_ssh => {
            "as it is given: agent.force_git_ssh_protocol is not for this form of URL, or not for this host".to_owned()
        }
        Rule::AsGiven if settings.without_ssh_translation => "as it is given: agent.translate_ssh is off".to_owned(),
        Rule::AsGiven => "as it is given".to_owned(),
    }
}

fn credential(access: &Access<'_>, settings: &GitSettings) -> String {
    let url = access.url();
    if url.is_local() {
        return "none: it is a folder of this machine".to_owned();
    }
    if url.http_base().is_none() {
        return "ssh: the keys of this user and what his ssh agent holds, without asking".to_owned();
    }
    match (access.credential_for(url), settings.token_kind) {
        (None, _) => "none of the configuration; git's own credential helpers and ~/.netrc are asked".to_owned(),
        (Some(found), TokenKind::Password) => format!("user {} and a password, from {}", found.user, found.source),
        (Some(found), TokenKind::Bearer) => format!("a bearer token, from {}", found.source),
        (Some(found), TokenKind::AzurePat) => format!("a personal access token of Azure, from {}", found.source),
    }
}
