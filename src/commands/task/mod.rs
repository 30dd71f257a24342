//! `hostler task`.

mod create;
mod draft;
mod list;
mod log_cursor;
mod logs;
mod show;
mod transitions;

use super::context::Context;
use crate::cli::TaskCommand;

pub(super) async fn run(context: &Context, command: TaskCommand) -> anyhow::Result<()> {
    let api = context.api()?;
    match command {
        TaskCommand::List(args) => list::list(context, &api, &args).await,
        TaskCommand::Show { task } => show::show(context, &api, &task).await,
        TaskCommand::Clone(args) => draft::clone(context, &api, &args).await,
        TaskCommand::Set(args) => draft::set(context, &api, &args).await,
        TaskCommand::Create(args) => create::create(context, &api, &args).await,
        TaskCommand::Enqueue(args) => transitions::enqueue(context, &api, &args).await,
        TaskCommand::Dequeue(args) => transitions::all(context, &api, &args, transitions::Change::Dequeue).await,
        TaskCommand::Abort(args) => transitions::all(context, &api, &args, transitions::Change::Abort).await,
        TaskCommand::Reset(args) => transitions::all(context, &api, &args, transitions::Change::Reset).await,
        TaskCommand::Delete(args) => transitions::all(context, &api, &args, transitions::Change::Delete).await,
        TaskCommand::Logs(args) => logs::logs(context, &api, &args).await,
    }
}
