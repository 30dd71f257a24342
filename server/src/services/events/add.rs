//! `events.add`, `events.add_batch`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use protocols::clearml::error::ApiError;
use serde_json::{Value, json};

use super::parse::parse;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::events::{self, NewEvent};
use crate::time;

/// The worker of events that do not name theirs, when the call does not either.
const UNKNOWN_WORKER: &str = "<unknown>";

/// Events from which on reading them is work for another thread.
const MANY_EVENTS: usize = 500;

/// Stores events; answers when they are durable. Events that are refused do not stop the others.
pub(super) async fn add(state: &State, call: Call) -> Reply {
    state.disk.refuse_if_low()?;
    let user = call.identity().user_id;
    let worker = call.worker.unwrap_or_else(|| UNKNOWN_WORKER.to_owned());
    let lines = match call.lines {
        Some(lines) => lines,
        None if call.body.is_empty() => Vec::new(),
        None => vec![Value::Object(call.body)],
    };
    if lines.is_empty() {
        return Err(ApiError::empty_batch("", &[]));
    }
    let (accepted, mut rejected) = if lines.len() > MANY_EVENTS {
        tokio::task::spawn_blocking(|| read(lines))
            .await
            .map_err(|_| ApiError::internal("cannot read the events", &[]))?
    } else {
        read(lines)
    };
    check_flags(&accepted)?;

    let now = time::now();
    let limits = state.event_limits;
    let appended = state
        .store
        .write(move |tx| {
            let appended =
                events::append(tx, accepted, events::Arrival { worker: &worker, now, limits: &limits }, |event| {
                    let facts = events::owner_facts(tx, &event.owner, event.is_model)?;
                    Ok(match facts {
                        Some(facts) if event.allow_locked || !facts.is_locked() => None,
                        Some(_) | None => {
                            let owner = if event.is_model { "model" } else { "task" };
                            Some(format!("Invalid {owner} id {}", event.owner))
                        }
                    })
                })?;
            for touched in &appended.touched {
                events::touch_owner(tx, touched, &user, now)?;
            }
            Ok(appended)
        })
        .await?;

    for (reason, events) in appended.rejected {
        *rejected.entry(reason).or_default() += events;
    }
    if appended.added == 0 {
        let details: Vec<(&str, &dyn Display)> =
            rejected.iter().map(|(reason, events)| (reason.as_str(), events as &dyn Display)).collect();
        return Err(ApiError::events_not_added("", &details));
    }
    let errors: u64 = rejected.values().sum();
    Ok(json!({"added": appended.added, "errors": errors, "errors_info": rejected}))
}

/// Separates the events that can be read from the reasons why others cannot.
fn read(lines: Vec<Value>) -> (Vec<NewEvent>, BTreeMap<String, u64>) {
    let mut accepted = Vec::with_capacity(lines.len());
    let mut rejected = BTreeMap::new();
    for line in lines {
        match parse(line) {
            Ok(event) => accepted.push(event),
            Err(reason) => *rejected.entry(reason).or_default() += 1,
        }
    }
    (accepted, rejected)
}

/// All events of one task or model must agree on what it is and whether a published one is locked.
fn check_flags(events: &[NewEvent]) -> Result<(), ApiError> {
    let mut flags: HashMap<&str, (bool, bool)> = HashMap::new();
    for event in events {
        let these = (event.allow_locked, event.is_model);
        if *flags.entry(event.owner.as_str()).or_insert(these) != these {
            let field = "allow_locked and model_event must be the same for all events of a task";
            return Err(ApiError::validation(field, &[("task", &event.owner)]));
        }
    }
    Ok(())
}
