//! The version from which on each endpoint exists.

use protocols::clearml::envelope::ApiVersion;

/// The newest version, taken when a path names none.
pub(super) const NEWEST: ApiVersion = ApiVersion::new(2, 34);

const fn since(minor: u32) -> ApiVersion {
    ApiVersion::new(2, minor)
}

/// The first version that has the endpoint; those that are not named here have always been.
pub(super) fn first_version(endpoint: &str) -> ApiVersion {
    match endpoint {
        "auth.logout" | "tasks.completed" => since(2),
        "queues.add_task"
        | "queues.create"
        | "queues.delete"
        | "queues.get_all"
        | "queues.get_all_ex"
        | "queues.get_by_id"
        | "queues.get_default"
        | "queues.get_queue_metrics"
        | "queues.move_task_backward"
        | "queues.move_task_forward"
        | "queues.move_task_to_back"
        | "queues.move_task_to_front"
        | "queues.remove_task"
        | "queues.update"
        | "workers.get_activity_report"
        | "workers.get_all"
        | "workers.get_metric_keys"
        | "workers.get_stats"
        | "workers.register"
        | "workers.status_report"
        | "workers.unregister" => since(4),
        "projects.get_model_tags" | "projects.get_task_tags" => since(8),
        "models.make_private"
        | "models.make_public"
        | "projects.get_hyper_parameters"
        | "projects.make_private"
        | "projects.make_public"
        | "tasks.make_private"
        | "tasks.make_public" => since(9),
        "tasks.add_or_update_artifacts" | "tasks.delete_artifacts" => since(10),
        "events.get_debug_image_sample" | "events.next_debug_image_sample" | "projects.get_task_parents" => since(12),
        "login.logout"
        | "models.add_or_update_metadata"
        | "models.delete_metadata"
        | "projects.get_hyperparam_values"
        | "queues.add_or_update_metadata"
        | "queues.delete_metadata"
        | "tasks.add_or_update_model"
        | "tasks.delete_models" => since(13),
        "queues.get_num_entries" | "queues.peek_task" => since(15),
        "events.scalar_metrics_iter_raw" => since(16),
        "events.clear_scroll" => since(18),
        _ => ApiVersion::new(1, 0),
    }
}

/// Endpoints that answer without credentials.
pub(super) fn is_open(endpoint: &str) -> bool {
    matches!(endpoint, "debug.ping" | "login.supported_modes" | "login.logout" | "auth.fixed_users_mode")
}
