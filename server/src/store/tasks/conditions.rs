//! Conditions on tasks that services add to a `get_all`.

use crate::store::query::Expression;

/// The task is a report.
pub(crate) fn is_report() -> Expression {
    Expression::plain("t.type = 'report'")
}

/// The task is a run of a pipeline.
pub(crate) fn is_pipeline_run() -> Expression {
    Expression::plain(
        "t.type = 'controller' AND EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'pipeline')",
    )
}

/// The task is a version of a dataset.
pub(crate) fn is_dataset_version() -> Expression {
    Expression::plain(
        "t.type = 'data_processing' AND EXISTS (SELECT 1 FROM json_each(t.system_tags) WHERE value = 'dataset')",
    )
}
