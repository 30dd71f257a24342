//! Why a task had to wait for its environment, or had not.

use drivers::python::store::{Nearest, Outcome, Store, Why};
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::lookup;
use super::view::{short, time};
use crate::exit::Problem;

pub(super) fn run(context: &Context, store: &Store, task: &str) -> anyhow::Result<()> {
    let why = match store.why(task) {
        Some(why) => why,
        None => {
            let why = by_name(context, task).and_then(|id| store.why(&id));
            why.ok_or_else(|| {
                Problem::refused(format!("task {task} has not been prepared on this machine, or with another store"))
            })?
        }
    };
    context.output.either(&document(&why), &text(&why))
}

/// The id of a task that the server knows by this name. Without a server there are only ids.
fn by_name(context: &Context, name: &str) -> Option<String> {
    let api = context.api().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(lookup::task(&api, name)).ok().map(|task| task.id)
}

fn document(why: &Why) -> Value {
    json!({
        "task": why.record.task,
        "time": why.record.time,
        "outcome": why.record.outcome,
        "environment": why.record.environment,
        "question": why.record.question,
        "nearest": why.record.nearest,
        "now": {"hit": why.now.is_some(), "environment": why.now, "nearest": why.nearest_now},
    })
}

fn text(why: &Why) -> String {
    let record = &why.record;
    let environment = short(&record.environment);
    let what = match record.outcome {
        Outcome::Hit => format!("hit: environment {environment} had answered the same question before"),
        Outcome::Shared => {
            format!("hit after resolving: environment {environment} has exactly the packages that were asked for")
        }
        Outcome::Built => format!("miss: environment {environment} was built"),
        Outcome::Private => {
            "miss: its own code is installed, which makes an environment for this attempt alone".to_owned()
        }
    };
    let mut text = format!("{} task {}: {what}\n", time(record.time), record.task);
    if let Some(nearest) = &record.nearest {
        text.push_str(&compared(nearest));
    }
    match (&why.now, &why.nearest_now) {
        (Some(id), _) => text.push_str(&format!("now: a hit, environment {}\n", short(id))),
        (None, nearest) if record.outcome != Outcome::Private => {
            text.push_str("now: a miss, its environment has been removed\n");
            nearest.iter().for_each(|nearest| text.push_str(&compared(nearest)));
        }
        (None, _) => {}
    }
    text.trim_end().to_owned()
}

fn compared(nearest: &Nearest) -> String {
    let (id, difference) = (short(&nearest.environment), &nearest.difference);
    let mut text = format!("nearest: environment {id} of task {}, which differs in\n", nearest.task);
    difference.here.iter().for_each(|line| text.push_str(&format!("  here   {line}\n")));
    difference.there.iter().for_each(|line| text.push_str(&format!("  there  {line}\n")));
    text
}
