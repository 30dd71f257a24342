//! The services of the API, one module each. Only this file knows the list of them.

use protocols::clearml::error::ApiError;

use crate::http::{Answer, Call};
use crate::state::State;

mod auth;
mod batch;
mod debug;
mod events;
pub(crate) mod files;
mod hostler;
mod login;
mod models;
pub(crate) mod organization;
mod pipelines;
mod projects;
mod queues;
mod reports;
mod server;
mod span;
mod tasks;
mod users;
mod workers;

/// Names of the services, as they are in paths.
pub(crate) const NAMES: &[&str] = &[
    "auth",
    "debug",
    "events",
    "hostler",
    "login",
    "models",
    "organization",
    "pipelines",
    "projects",
    "queues",
    "reports",
    "server",
    "tasks",
    "users",
    "workers",
];

/// Runs one call. `None` when there is no such service or action.
pub(crate) async fn dispatch(
    state: &State,
    service: &str,
    action: &str,
    call: Call,
) -> Option<Result<Answer, ApiError>> {
    // The answers that are no envelope.
    if let ("organization", "download_for_get_all") = (service, action) {
        return Some(organization::download_for_get_all(state, &call).await.map(Answer::Download));
    }
    let reply = match service {
        "auth" => auth::dispatch(state, action, call).await,
        "debug" => debug::dispatch(state, action, call).await,
        "events" => events::dispatch(state, action, call).await,
        "hostler" => hostler::dispatch(state, action, call).await,
        "login" => login::dispatch(state, action, call).await,
        "models" => models::dispatch(state, action, call).await,
        "organization" => organization::dispatch(state, action, call).await,
        "pipelines" => pipelines::dispatch(state, action, call).await,
        "projects" => projects::dispatch(state, action, call).await,
        "queues" => queues::dispatch(state, action, call).await,
        "reports" => reports::dispatch(state, action, call).await,
        "server" => server::dispatch(state, action, call).await,
        "tasks" => tasks::dispatch(state, action, call).await,
        "users" => users::dispatch(state, action, call).await,
        "workers" => workers::dispatch(state, action, call).await,
        _ => None,
    };
    reply.map(|reply| reply.map(Answer::Data))
}
