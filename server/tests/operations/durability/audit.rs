//! The comparison that the kill test ends with, and that it would notice.

use super::model::{Model, Operation};

/// How the last request of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All were answered.
    Answered,
    /// It was not answered, and is done.
    Done,
    /// It was not answered, and is not done.
    Absent,
}

/// What is there must be what was acknowledged, with the operation that was not answered as a whole, or without it.
pub(crate) fn judge(found: &Model, acknowledged: &Model, unanswered: Option<&Operation>) -> Result<Ended, String> {
    let Some(operation) = unanswered else {
        return if found == acknowledged {
            Ok(Ended::Answered)
        } else {
            Err(format!("there is\n{found:#?}\nand acknowledged was\n{acknowledged:#?}"))
        };
    };
    if found == acknowledged {
        Ok(Ended::Absent)
    } else if *found == acknowledged.clone().after(operation) {
        Ok(Ended::Done)
    } else {
        Err(format!(
            "neither done nor absent: {operation:?}; there is\n{found:#?}\nand acknowledged was\n{acknowledged:#?}"
        ))
    }
}

mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::durability::load::Worker;
    use crate::durability::observe::observe;
    use crate::fixture::Fixture;

    /// A server with what one client did, which is then changed behind its back.
    struct Scene {
        directory: tempfile::TempDir,
        credentials: (String, String),
        worker: Worker,
        whole: Vec<u8>,
    }

    impl Scene {
        async fn prepare() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let fixture = Fixture::first(&directory.path().join("data"), |_| ()).await;
            let mut worker = Worker::new("audited".to_owned(), 7, &fixture.client).await;
            // Until there is something of everything that is damaged below.
            let lacks = |model: &Model| {
                let tasks = || model.tasks.values();
                !model.queues.iter().any(|queue| queue.len() > 1)
                    || model.models.is_empty()
                    || model.tasks_with("created", false).is_empty()
                    || !tasks().any(|task| !task.lines.is_empty())
                    || !tasks().any(|task| task.parameters.is_some())
            };
            while lacks(&worker.model) {
                worker.work_for(&fixture.client, 5).await;
            }
            let (_, credentials) = fixture.stop().await;
            let whole = std::fs::read(directory.path().join("data/server.db")).unwrap();
            Self { directory, credentials, worker, whole }
        }

        /// What the audit says after `damage`, which changes at least one row.
        async fn after(&mut self, damage: &str, unanswered: Option<&Operation>) -> Result<Ended, String> {
            let data_dir = self.directory.path().join("data");
            std::fs::write(data_dir.join("server.db"), &self.whole).unwrap();
            if !damage.is_empty() {
                let database = Connection::open(data_dir.join("server.db")).unwrap();
                let before = database.total_changes();
                database.execute_batch(damage).unwrap();
                assert!(database.total_changes() > before, "{damage}: nothing to change");
                database.close().unwrap();
            }
            let fixture = Fixture::again(&data_dir, &self.credentials).await;
            let found = observe(&fixture.client, &mut self.worker).await;
            fixture.stop().await;
            judge(&found, &self.worker.model, unanswered)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_acknowledged_row_that_is_gone_is_noticed() {
        let mut scene = Scene::prepare().await;
        assert_eq!(scene.after("", None).await, Ok(Ended::Answered), "nothing is wrong with what is whole");
        for damage in [
            "DELETE FROM queue_entries WHERE rowid = (SELECT max(rowid) FROM queue_entries)",
            // With its counter, as a whole transaction that is lost would leave it.
            "DELETE FROM console_lines WHERE rowid = (SELECT max(rowid) FROM console_lines);
             UPDATE event_owners SET log_lines = (SELECT count(*) FROM console_lines c WHERE c.owner = event_owners.key)",
            "DELETE FROM models WHERE rowid = (SELECT max(rowid) FROM models)",
            "UPDATE tasks SET status = 'created' WHERE id = (SELECT task FROM queue_entries LIMIT 1)",
            "UPDATE queue_entries SET position = -position WHERE rowid = (SELECT max(rowid) FROM queue_entries
             GROUP BY queue HAVING count(*) > 1)",
            "UPDATE task_documents SET hyperparams = '{}' WHERE hyperparams != '{}'",
        ] {
            let found = scene.after(damage, None).await;
            assert!(found.as_ref().is_err_and(|found| found.starts_with("there is")), "{damage}: {found:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operation_that_is_half_there_is_noticed() {
        let mut scene = Scene::prepare().await;
        let task = scene.worker.model.tasks_with("created", false).remove(0);
        let id = scene.worker.ids[&task].clone();
        let queue = scene.worker.queues[0].clone();
        let enqueue = Operation::Enqueue { task: task.clone(), queue: 0 };
        assert_eq!(scene.after("", Some(&enqueue)).await, Ok(Ended::Absent));
        for half in [
            format!("INSERT INTO queue_entries (queue, position, task, added) VALUES ('{queue}', 1000000, '{id}', 0)"),
            format!("UPDATE tasks SET status = 'queued' WHERE id = '{id}'"),
        ] {
            let found = scene.after(&half, Some(&enqueue)).await;
            assert!(
                found.as_ref().is_err_and(|found| found.starts_with("neither done nor absent")),
                "{half}: {found:?}"
            );
        }
        let edit = Operation::Edit { task, number: 77 };
        let half = format!(
            "UPDATE task_documents SET hyperparams = json_set(hyperparams, '$.Args', json('{{\"one\": {{\"section\": \"Args\", \
             \"name\": \"one\", \"value\": \"77\"}}}}')) WHERE id = '{id}'"
        );
        let found = scene.after(&half, Some(&edit)).await;
        assert!(found.as_ref().is_err_and(|found| found.starts_with("neither done nor absent")), "{found:?}");
    }
}
