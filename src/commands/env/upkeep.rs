//! Making room, and looking for damage.

use std::time::SystemTime;

use drivers::python::EnvironmentStore;
use drivers::python::store::{Limits, Store};
use serde_json::json;

use super::super::context::Context;
use super::view::short;
use crate::cli::EnvPruneArgs;
use crate::exit::Exit;

pub(super) fn prune(context: &Context, store: &EnvironmentStore, args: &EnvPruneArgs) -> anyhow::Result<()> {
    let configured = store.limits();
    let limits = Limits {
        entries: args.keep.or(configured.entries),
        bytes: args.max_size.map(|size| size.0).or(configured.bytes),
        free_floor: args.free.map_or(configured.free_floor, |size| size.0),
    };
    let since = args.unused_for.and_then(|age| SystemTime::now().checked_sub(age.0));
    let pruned = store.store().prune(&limits, since)?;
    let mut text = format!("removed {} environments", pruned.environments.len());
    if pruned.remains > 0 {
        text.push_str(&format!(", and what {} broken builds or removals had left", pruned.remains));
    }
    pruned.environments.iter().for_each(|id| text.push_str(&format!("\n  {}", short(id))));
    context.output.either(&json!({"environments": pruned.environments, "remains": pruned.remains}), &text)
}

pub(super) fn verify(context: &Context, store: &Store, remove: bool) -> anyhow::Result<Exit> {
    let (count, damages) = store.verify()?;
    let mut text = format!("{count} environments, {} damages", damages.len());
    let mut damaged: Vec<&str> = damages.iter().map(|damage| damage.environment.as_str()).collect();
    damaged.dedup();
    damages.iter().for_each(|damage| {
        text.push_str(&format!("\n  {}  {}", short(&damage.environment), damage.what));
    });
    let mut removed = Vec::new();
    if remove {
        match store.remove_downloads_of(&damages)? {
            Some(0) => {}
            Some(count) => text.push_str(&format!("\n{count} unpacked packages with such files removed")),
            None => text.push_str("\nuv is at work, so its unpacked packages stay: say it again when it is done"),
        }
    }
    for id in damaged.iter().filter(|_| remove) {
        match store.remove(id)? {
            true => removed.push(*id),
            false => text.push_str(&format!("\n  {}  is in use, and stays", short(id))),
        }
    }
    if !removed.is_empty() {
        text.push_str(&format!("\n{} environments removed", removed.len()));
    }
    let list: Vec<_> =
        damages.iter().map(|damage| json!({"environment": damage.environment, "what": damage.what})).collect();
    context.output.either(&json!({"environments": count, "damages": list, "removed": removed}), &text)?;
    Ok(if damaged.len() == removed.len() { Exit::Success } else { Exit::Refused })
}
