//! `build`.

use std::path::PathBuf;

use clap::Args;

/// What `build` is for.
pub(super) const BUILD_ABOUT: &str = "\
Builds code and environment of a task into a folder, to look into, or to run it by hand: the repository at its commit with \
the uncommitted changes, the interpreter, the packages. The task on the server is not changed, and nothing of it runs.

What is built stands by itself: the caches of Hostler may go.";

/// Flags of `build`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler build --id train-resnet                      into ./train-resnet's id
  hostler build --id TASK --target /tmp/try --json
  hostler build --id TASK --python-version 3.11")]
pub(crate) struct BuildArgs {
    /// The task: its id or its name
    #[arg(long, value_name = "TASK")]
    pub(crate) id: String,
    /// The folder to build in; empty, new, or of an earlier build [default: ./ID]
    #[arg(long, value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,
    /// Another version of Python than the task asks for: `3.11`
    #[arg(long, value_name = "VERSION")]
    pub(crate) python_version: Option<String>,
    /// Where it is kept while it is built, below `build` [default: the XDG state directory, ~/.local/state/hostler/daemon]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where repositories and downloads are cached [default: the XDG cache directory, ~/.cache/hostler]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// User name for git
    #[arg(long, value_name = "NAME")]
    pub(crate) git_user: Option<String>,
    /// Refused: a secret on a command line is seen by everybody
    #[arg(long, value_name = "SECRET", hide = true)]
    pub(crate) git_pass: Option<String>,
}
