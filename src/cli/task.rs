//! `task`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

/// Subcommands of `task`. A TASK is an id or a name.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Tasks, the last changed first
    List(ListArgs),
    /// Everything about one task
    Show {
        /// Id or name
        task: String,
    },
    /// Copy a task as a draft, with other parameters if you like
    Clone(CloneArgs),
    /// Change parameters of a draft
    Set(SetArgs),
    /// Make a draft without the SDK
    Create(Box<CreateArgs>),
    /// Put a task into a queue
    Enqueue(TaskEnqueueArgs),
    /// Take tasks out of their queue
    Dequeue(TasksArgs),
    /// Stop tasks that wait or run
    Abort(TasksArgs),
    /// Make drafts of tasks that ended; their results are deleted
    Reset(TasksArgs),
    /// Delete tasks with their results
    Delete(TasksArgs),
    /// A task's console
    Logs(LogsArgs),
}

/// `task list`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler task list
  hostler task list --status queued in_progress
  hostler task list --project Trial --name resnet --limit 5 --json")]
pub(crate) struct ListArgs {
    /// Only those of this project and the projects below it
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Only those in one of these: created, queued, in_progress, stopped, completed, failed, ..
    #[arg(long, value_name = "STATUS", num_args = 1..)]
    pub(crate) status: Vec<String>,
    /// Only those with this text in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

/// `task clone`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler task clone train-resnet --set Args/lr=0.01 --enqueue default
  hostler task clone train-resnet --name 'more epochs' --set Args/epochs=50 --set General/seed=7")]
pub(crate) struct CloneArgs {
    /// Id or name
    pub(crate) task: String,
    /// Name of the copy [default: `Clone of ` and the name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A parameter of the copy; may be repeated
    #[arg(long, value_name = "SECTION/NAME=VALUE")]
    pub(crate) set: Vec<ParameterArg>,
    /// Put the copy into this queue
    #[arg(long, value_name = "QUEUE")]
    pub(crate) enqueue: Option<String>,
}

/// `task set`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler task set my-draft Args/lr=0.01 Args/epochs=3
  hostler task set my-draft 'General/optimizer/name=adam w'")]
pub(crate) struct SetArgs {
    /// Id or name
    pub(crate) task: String,
    /// Parameters; those that are not named stay
    #[arg(required = true, value_name = "SECTION/NAME=VALUE")]
    pub(crate) parameters: Vec<ParameterArg>,
}

/// `task create`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler task create --name hello --script hello.py --enqueue default
  hostler task create --name train --project Trial --repo https://example.org/me/models.git --branch main \\
      --entry-point train.py --working-dir src --arg=--epochs --arg=3 --requirements requirements.txt
  hostler task create --name sweep --script sweep.py --requirement 'numpy>=2' --param Args/lr=0.1 --python 3.11")]
pub(crate) struct CreateArgs {
    /// Its name, at least three characters
    #[arg(long)]
    pub(crate) name: String,
    /// Its project; made if it does not exist
    #[arg(long, value_name = "NAME", default_value = "Default")]
    pub(crate) project: String,
    /// Its type: training, testing, inference, data_processing, ..
    #[arg(long = "type", value_name = "TYPE", default_value = "training")]
    pub(crate) task_type: String,
    /// Run this file, as it is now
    #[arg(long, value_name = "FILE", required_unless_present = "repo", conflicts_with_all = ["repo", "entry_point"])]
    pub(crate) script: Option<PathBuf>,
    /// Run code of this git repository
    #[arg(long, value_name = "URL", requires = "entry_point")]
    pub(crate) repo: Option<String>,
    /// Branch of the repository
    #[arg(long, requires = "repo")]
    pub(crate) branch: Option<String>,
    /// Commit of the repository
    #[arg(long, requires = "repo")]
    pub(crate) commit: Option<String>,
    /// Tag of the repository
    #[arg(long, requires = "repo")]
    pub(crate) tag: Option<String>,
    /// File to run, seen from the working directory, or `-m module`
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) entry_point: Option<String>,
    /// Directory within the repository
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) working_dir: String,
    /// Argument of the program; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) arg: Vec<String>,
    /// Package to install, as in a requirements file; may be repeated
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) requirement: Vec<String>,
    /// Requirements file
    #[arg(long, value_name = "FILE", conflicts_with = "requirement")]
    pub(crate) requirements: Option<PathBuf>,
    /// Parameter that the SDK injects; may be repeated
    #[arg(long, value_name = "SECTION/NAME=VALUE")]
    pub(crate) param: Vec<ParameterArg>,
    /// Python version, for example 3.11, or an interpreter
    #[arg(long, value_name = "VERSION")]
    pub(crate) python: Option<String>,
    /// Put it into this queue at once
    #[arg(long, value_name = "QUEUE")]
    pub(crate) enqueue: Option<String>,
}

/// `task enqueue`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler task enqueue my-draft
  hostler task enqueue my-draft gpu-queue")]
pub(crate) struct TaskEnqueueArgs {
    /// Id or name
    pub(crate) task: String,
    /// Id or name of the queue
    #[arg(default_value = "default")]
    pub(crate) queue: String,
}

/// `task dequeue`, `abort`, `reset`, `delete`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TasksArgs {
    /// Ids or names
    #[arg(required = true, value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Even where the task's status speaks against it
    #[arg(long)]
    pub(crate) force: bool,
}

/// `task logs`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  hostler task logs train-resnet
  hostler task logs -f train-resnet
  hostler task logs --last 100 train-resnet | grep loss")]
pub(crate) struct LogsArgs {
    /// Id or name
    pub(crate) task: String,
    /// Go on until the task ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Begin so many reports before the end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) last: Option<u32>,
}

/// A hyperparameter on the command line: `Section/name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParameterArg {
    /// What stands before the first slash.
    pub(crate) section: String,
    /// What stands between it and the first `=`; may hold slashes.
    pub(crate) name: String,
    /// Everything else, as it is.
    pub(crate) value: String,
}

impl FromStr for ParameterArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) =
            text.split_once('=').ok_or("there is no `=`; write Section/name=value, for example Args/lr=0.1")?;
        let (section, name) =
            key.split_once('/').ok_or_else(|| format!("there is no section; write Args/{key}={value}, for example"))?;
        if section.trim().is_empty() || name.trim().is_empty() {
            return Err("section and name must not be empty; write Section/name=value".to_owned());
        }
        Ok(Self { section: section.to_owned(), name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, section: &str, name: &str, value: &str) {
        let expected = ParameterArg { section: section.to_owned(), name: name.to_owned(), value: value.to_owned() };
        assert_eq!(text.parse(), Ok(expected));
    }

    #[test]
    fn parameters_keep_odd_characters() {
        check("Args/lr=0.1", "Args", "lr", "0.1");
        check("General/opt/name=a=b/c", "General", "opt/name", "a=b/c");
        check("Args/text= \u{fc} \"x\" $Y\n", "Args", "text", " \u{fc} \"x\" $Y\n");
        check("Args/empty=", "Args", "empty", "");
        check("My Section/a b.c[0]=-1", "My Section", "a b.c[0]", "-1");
    }

    #[test]
    fn what_is_missing_is_told() {
        for text in ["lr=0.1", "Args/lr", "/lr=1", "Args/=1", ""] {
            let error = text.parse::<ParameterArg>().expect_err(text);
            assert!(error.contains("write "), "{error}");
        }
    }
}
