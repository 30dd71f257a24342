//! The error of an API call: an HTTP status, a subcode and a message, as clients key on them.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a call was refused or failed. The status is also the HTTP status of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message} ({status}/{subcode})")]
pub struct ApiError {
    /// HTTP status, `meta.result_code`.
    pub status: u16,
    /// `meta.result_subcode`, unique within a status.
    pub subcode: u16,
    /// `meta.result_msg`.
    pub message: String,
}

/// Named values that are appended to a message, as `: name=value, other=value`.
pub type Details<'a> = &'a [(&'a str, &'a dyn fmt::Display)];

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $status:literal / $subcode:literal $text:literal;)*) => {
        impl ApiError {
            $(
                $(#[$meta])*
                pub fn $name(extra: &str, details: Details<'_>) -> Self {
                    Self::compose($status, $subcode, $text, extra, details)
                }
            )*
        }
    };
}

kinds! {
    /// The request makes no sense.
    bad_request = 400/0 "Bad request";
    /// The request is understood and not supported here.
    not_supported = 400/1 "Not supported";
    /// A header has an impossible value.
    invalid_headers = 400/5 "Invalid headers";
    /// A user that cannot be impersonated.
    impersonation = 400/6 "Impersonation error";
    /// An id that nobody has.
    invalid_id = 400/10 "Invalid id";
    /// A field or body fails validation.
    validation = 400/12 "Validation error";
    /// An unknown field in `only_fields` or `order_by`.
    lookup = 400/14 "Lookup error";
    /// Fields that exclude each other.
    fields_conflict = 400/15 "Conflicting fields";
    /// A value that is out of range, or an unknown id in a new object.
    fields_value = 400/16 "Fields value error";
    /// A batch without items.
    empty_batch = 400/17 "Batch request does not contain any items";
    /// A batch with a bad item.
    batch_validation = 400/18 "Batch request validation failed";
    /// A value of the wrong type.
    fields_type = 400/20 "Fields type error";
    /// A pattern that is not a regular expression, or a too large one.
    invalid_regex = 400/21 "Invalid regular expression";
    /// An access key that the user does not have.
    invalid_access_key = 400/75 "Invalid access key";
    /// A task that does not exist.
    invalid_task_id = 400/101 "Invalid task id";
    /// A task whose fields do not fit together.
    task_validation = 400/102 "Task validation error";
    /// A status change or an edit that the task's status forbids.
    invalid_task_status = 400/110 "Invalid task status";
    /// The task was changed by somebody else in the meantime.
    failed_changing_task_status = 400/121 "Failed changing task status";
    /// The task may not be deleted.
    task_cannot_be_deleted = 400/123 "Task cannot be deleted";
    /// A task of another type is needed.
    invalid_task_type = 400/126 "Invalid task type";
    /// The task does not exist where it was looked for.
    task_not_found = 400/130 "Task not found";
    /// None of the events could be stored.
    events_not_added = 400/131 "Events not added";
    /// The task is no report.
    reports_only = 400/150 "Operation supported on reports only";
    /// A pipeline keeps at least one run.
    cannot_remove_all_runs = 400/160 "Cannot remove all pipeline runs";
    /// A model that does not exist.
    invalid_model_id = 400/201 "Invalid model id";
    /// The model is published.
    model_is_ready = 400/203 "Model is ready";
    /// The model is used by tasks.
    model_in_use = 400/205 "Model in use";
    /// The task that made the model still exists.
    model_creating_task_exists = 400/206 "Model creating task exists";
    /// A user that does not exist.
    invalid_user_id = 400/301 "Invalid user id";
    /// The id of a new user is taken.
    user_id_exists = 400/302 "User ID already exists";
    /// Preferences that cannot be kept.
    invalid_preferences_update = 400/305 "Malformed key and/or value";
    /// A project that does not exist.
    invalid_project_id = 400/401 "Invalid project id";
    /// The project still has tasks.
    project_has_tasks = 400/402 "Project has associated tasks";
    /// No such project.
    project_not_found = 400/403 "Project not found";
    /// The project still has models.
    project_has_models = 400/405 "Project has associated models";
    /// A project name that cannot be.
    invalid_project_name = 400/407 "Invalid project name";
    /// The project cannot be moved by renaming.
    cannot_update_project_location = 400/408 "Cannot update project location. Use projects.move instead";
    /// The project is nested too deep.
    project_path_exceeds_max = 400/409 "Project path exceed the maximum allowed depth";
    /// Source and destination are one project.
    same_source_and_destination = 400/410 "Source and destination projects are the same";
    /// A project cannot be its own ancestor.
    cannot_be_moved_under_itself = 400/411 "Project can not be moved under itself in the projects hierarchy";
    /// A project cannot be merged into its child.
    cannot_be_merged_into_its_child = 400/412 "Project can not be merged into its own child";
    /// A queue that does not exist.
    invalid_queue_id = 400/701 "Invalid queue id";
    /// The queue still has entries.
    queue_not_empty = 400/702 "Queue is not empty";
    /// The queue does not exist or does not hold the task.
    task_not_queued = 400/703 "Invalid queue id or task not in queue";
    /// The queue holds the task already.
    task_already_queued = 400/706 "Task already queued";
    /// There is no default queue.
    no_default_queue = 400/707 "No queue is tagged as the default queue for this company";
    /// There is more than one default queue.
    multiple_default_queues = 400/708 "More than one queue is tagged as the default queue for this company";
    /// The store refuses the data.
    data_validation = 400/800 "Data validation error";
    /// Something with this name exists.
    expected_unique_data = 400/801 "Value combination already exists (unique field already contains this value)";
    /// A worker that does not exist.
    invalid_worker_id = 400/1001 "Invalid worker id";
    /// The worker could not be registered.
    worker_registration_failed = 400/1002 "Worker registration failed";
    /// No statistics of the worker.
    worker_stats_not_found = 400/1005 "Worker stats not found";
    /// A scroll id that this server did not give.
    invalid_scroll_id = 400/1104 "Invalid scroll id";
    /// The caller may not do this.
    unauthorized = 401/1 "Unauthorized (not authorized for endpoint)";
    /// An authorization scheme that is neither Basic nor Bearer.
    bad_auth_type = 401/10 "Unauthorized (bad authentication header type)";
    /// No credentials were sent.
    no_credentials = 401/20 "Unauthorized (missing credentials)";
    /// Credentials that cannot be read.
    bad_credentials = 401/21 "Unauthorized (malformed credentials)";
    /// A key or secret that is not known.
    invalid_credentials = 401/22 "Unauthorized (invalid credentials)";
    /// A token that is not valid, or not any more.
    invalid_token = 401/30 "Unauthorized (invalid token)";
    /// A token that was revoked.
    blocked_token = 401/31 "Unauthorized (token is blocked)";
    /// The caller's role does not allow it.
    role_not_allowed = 403/20 "Forbidden (not allowed for role)";
    /// No such endpoint, or not in this version.
    unknown_endpoint = 404/0 "Unable to find endpoint";
    /// The endpoint exists in older versions only.
    moved = 301/1 "This endpoint is not supported in the requested version";
    /// The server failed.
    internal = 500/1 "General data error";
    /// The disk is full.
    low_disk_space = 500/4 "Critical server error! Server reports low or insufficient disk space. Please resolve immediately by allocating additional disk space or freeing up storage space";
    /// The stored data contradicts itself.
    inconsistent_data = 500/101 "Inconsistent data encountered in document";
    /// The database cannot be used.
    database_unavailable = 500/102 "Database is temporarily unavailable";
}

impl ApiError {
    /// Makes an error whose message is taken as it is.
    pub fn new(status: u16, subcode: u16, message: impl Into<String>) -> Self {
        Self { status, subcode, message: message.into() }
    }

    /// Makes an error in the form `<text> (<extra>): name=value, other=value`; an empty `extra` and empty
    /// `details` are left out.
    pub fn compose(status: u16, subcode: u16, text: &str, extra: &str, details: Details<'_>) -> Self {
        let mut message = text.to_owned();
        if !extra.is_empty() {
            let _ = write!(message, " ({extra})");
        }
        for (position, (name, value)) in details.iter().enumerate() {
            let separator = if position == 0 { ": " } else { ", " };
            let _ = write!(message, "{separator}{name}={value}");
        }
        Self { status, subcode, message }
    }

    /// A required field is missing (400/12).
    pub fn missing_field(field: &str) -> Self {
        Self::validation(&format!("error for field '{field}'. field is required!"), &[])
    }

    /// A field has an impossible value (400/12).
    pub fn bad_field(field: &str, why: &str) -> Self {
        Self::validation(&format!("error for field '{field}'. {why}"), &[])
    }

    /// Whether this is the code and subcode given.
    pub fn is(&self, status: u16, subcode: u16) -> bool {
        (self.status, self.subcode) == (status, subcode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_forms_that_clients_know() {
        let cases = [
            (ApiError::invalid_task_id("", &[("id", &"a"), ("company", &"b")]), "Invalid task id: id=a, company=b"),
            (
                ApiError::invalid_task_status(
                    "Invalid status change",
                    &[("current_status", &"created"), ("new_status", &"stopped")],
                ),
                "Invalid task status (Invalid status change): current_status=created, new_status=stopped",
            ),
            (ApiError::missing_field("queue"), "Validation error (error for field 'queue'. field is required!)"),
        ];
        for (error, message) in cases {
            assert_eq!(error.message, message);
        }
    }
}
