//! `build`.

use clap::Args;

use super::execute::TaskArgs;
use super::service::EntryPointArg;

/// What `build` is for.
pub(super) const BUILD_ABOUT: &str = "\
Builds code and environment of a task into a folder, to look into, or to run it by hand: the repository at its commit with \
the uncommitted changes, the interpreter, the packages. The task on the server is not changed, and nothing of it runs.

What is built stands by itself: the caches of Hostler may go.

With --docker an image is made: that of the task, after its setup scripts, with code and environment in it. With an entry \
point `docker run` of it runs the task, or a copy, on the server and with the credentials that are given to it then; none \
are in the image.";

/// Flags of `build`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler build --id train-resnet                      into ./train-resnet's id
  hostler build --id TASK --target /tmp/try --json
  hostler build --id TASK --python-version 3.11
  hostler build --id TASK --docker --target mine:1 --entry-point clone_task
  docker run -v ~/clearml.conf:/root/clearml.conf:ro mine:1")]
pub(crate) struct BuildArgs {
    /// The task: its id or its name
    #[arg(long, value_name = "TASK")]
    pub(crate) id: String,
    /// The folder to build in; empty, new, or of an earlier build [default: ./ID]; or the name of the image [default:
    /// task_id_ID]
    #[arg(long, value_name = "DIR|NAME")]
    pub(crate) target: Option<String>,
    /// Make an image: of the image that the task names, or of this one, with these arguments of `docker run`
    #[arg(long, value_name = "IMAGE [ARGS]", num_args = 0..)]
    pub(crate) docker: Option<Vec<String>>,
    /// As --docker, with Podman
    #[arg(long, value_name = "IMAGE [ARGS]", num_args = 0.., conflicts_with = "docker")]
    pub(crate) podman: Option<Vec<String>>,
    /// Of the image given here, whatever the task names; without its arguments and its setup script
    #[arg(long)]
    pub(crate) force_docker: bool,
    /// What the image runs
    #[arg(long, value_enum, value_name = "reuse_task|clone_task")]
    pub(crate) entry_point: Option<EntryPointArg>,
    /// Refused: packages are installed into an environment of their own
    #[arg(long, hide = true)]
    pub(crate) install_globally: bool,
    /// Another version of Python than the task asks for: `3.11`
    #[arg(long, value_name = "VERSION")]
    pub(crate) python_version: Option<String>,
    #[command(flatten)]
    pub(crate) common: TaskArgs,
}
