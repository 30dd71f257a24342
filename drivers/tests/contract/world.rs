//! A server, and the means of a person who uses it.

use drivers::clearml::{ClearMlClient, ClientSettings, Credentials, FakeServer, TaskServer};
use protocols::ids::{QueueId, TaskId};
use serde_json::json;
use server::{RunningServer, Server, ServerConfig};

/// A server with one queue, `default`.
pub(crate) enum World {
    Fake(FakeServer),
    Embedded { client: ClearMlClient, _running: Box<RunningServer>, _directory: tempfile::TempDir },
}

impl World {
    pub(crate) fn fake() -> Self {
        let server = FakeServer::with_extensions();
        server.add_queue("q0", "default");
        Self::Fake(server)
    }

    pub(crate) async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(directory.path());
        (config.api_port, config.web_port, config.files_port) = (0, 0, 0);
        let running = Server::start(config).await.unwrap();
        let (access_key, secret_key) = running.new_credentials.clone().unwrap();
        let credentials = Credentials {
            api_host: running.api_url.clone(),
            access_key,
            secret_key,
            worker_header: "contract".to_owned(),
            ..Credentials::default()
        };
        let client = ClearMlClient::new(ClientSettings::new(credentials)).unwrap();
        Self::Embedded { client, _running: Box::new(running), _directory: directory }
    }

    pub(crate) fn server(&self) -> &dyn TaskServer {
        match self {
            Self::Fake(server) => server,
            Self::Embedded { client, .. } => client,
        }
    }

    pub(crate) async fn default_queue(&self) -> QueueId {
        self.server().default_queue().await.unwrap().id
    }

    /// A new task at the end of a queue.
    pub(crate) async fn queued_task(&self, name: &str, queue: &QueueId) -> TaskId {
        match self {
            Self::Fake(server) => server.add_queued_task(name, queue),
            Self::Embedded { client, .. } => {
                let body =
                    json!({"name": name, "type": "training", "script": {"diff": "print(1)", "entry_point": "a.py"}});
                let created = client.call("tasks.create", body).await.unwrap();
                let task = TaskId::from(created["id"].as_str().unwrap());
                client.call("tasks.enqueue", json!({"task": task, "queue": queue})).await.unwrap();
                task
            }
        }
    }

    /// A task that was popped and started by a worker that reports.
    pub(crate) async fn running_task(&self, name: &str) -> TaskId {
        let queue = self.default_queue().await;
        let task = self.queued_task(name, &queue).await;
        assert_eq!(self.server().pop(&queue, Some(&task)).await.unwrap(), Some(task.clone()));
        self.server().started(&task, "pulled by agent", "", &[]).await.unwrap();
        let report = drivers::clearml::StatusReport {
            worker: "host:0".into(),
            timestamp: 1_700_000_000_000,
            task: Some(task.clone()),
            queue: Some(queue.clone()),
            queues: vec![queue],
            machine_stats: None,
            tags: None,
            is_daemon: true,
        };
        self.server().status_report(report).await.unwrap();
        task
    }

    /// A person presses "abort".
    pub(crate) async fn ask_to_stop(&self, task: &TaskId) {
        match self {
            Self::Fake(server) => server.request_stop(task),
            Self::Embedded { client, .. } => {
                client.call("tasks.stop", json!({"task": task})).await.unwrap();
            }
        }
    }
}
