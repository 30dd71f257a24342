//! `hostler env`: the environments of this machine.

mod upkeep;
mod view;
mod why;

use drivers::python::EnvironmentStore;
use protocols::order::PythonSettings;

use super::context::Context;
use crate::cli::{EnvCommand, StoreArgs};
use crate::exit::{Exit, Problem};

pub(super) fn run(context: &Context, command: EnvCommand) -> anyhow::Result<Exit> {
    match command {
        EnvCommand::List(args) => view::list(context, &store(context, &args)?.store())?,
        EnvCommand::Show { environment, store: args } => {
            view::show(context, &store(context, &args)?.store(), &environment)?;
        }
        EnvCommand::Why { task, store: args } => why::run(context, &store(context, &args)?.store(), &task)?,
        EnvCommand::Prune(args) => upkeep::prune(context, &store(context, &args.store)?, &args)?,
        EnvCommand::Verify { remove, store: args } => {
            return upkeep::verify(context, &store(context, &args)?.store(), remove);
        }
    }
    Ok(Exit::Success)
}

/// The store that a daemon of this configuration uses.
fn store(context: &Context, args: &StoreArgs) -> anyhow::Result<EnvironmentStore> {
    let config = context.config()?;
    let settings = PythonSettings { store: config.agent.store.clone(), ..PythonSettings::default() };
    Ok(EnvironmentStore::new(&config.cache_dir(args.cache_dir.clone())?, &settings))
}

/// The one environment that is meant.
fn find(store: &drivers::python::store::Store, start: &str) -> anyhow::Result<String> {
    let mut found = store.find(start)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Problem::refused(format!("there is no environment {start:?}; `hostler env list` lists them"))),
        _ => Err(Problem::refused(format!("{start:?} may be any of {}", found.join(", ")))),
    }
}
