//! The server as a test sees it: plain calls of the ClearML API.

use std::time::Duration;

use serde_json::{Value, json};

use super::wait::{PATIENCE, within};

/// An error that the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiFailure {
    pub(crate) code: u64,
    pub(crate) subcode: u64,
    pub(crate) message: String,
}

/// A logged-in client.
#[derive(Debug)]
pub(crate) struct Api {
    url: String,
    token: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Api {
    /// Logs in.
    pub(crate) fn login(url: &str, access_key: &str, secret_key: &str) -> Result<Self, String> {
        Self::login_by(|client| client, url, access_key, secret_key)
    }

    /// Logs in over TLS, trusting one authority (PEM) and no other.
    pub(crate) fn login_trusting(
        authority: &[u8],
        url: &str,
        access_key: &str,
        secret_key: &str,
    ) -> Result<Self, String> {
        let authority = reqwest::Certificate::from_pem(authority).unwrap();
        Self::login_by(|client| client.tls_certs_only([authority]), url, access_key, secret_key)
    }

    fn login_by(
        how: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
        url: &str,
        access_key: &str,
        secret_key: &str,
    ) -> Result<Self, String> {
        // The client wants to know who does the cryptography, even where there is none.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = how(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60))).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut api = Self { url: url.to_owned(), token: String::new(), client, runtime };
        let request = api.client.post(format!("{url}/auth.login")).basic_auth(access_key, Some(secret_key));
        let answer = api.send(request)?.map_err(|failure| format!("{failure:?}"))?;
        api.token = answer["token"].as_str().ok_or("no token")?.to_owned();
        Ok(api)
    }

    /// The token of the session.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Result<Value, ApiFailure>, String> {
        let sending = async { request.send().await?.json::<Value>().await };
        let answer = self.runtime.block_on(sending).map_err(|error| format!("{error:?}"))?;
        let meta = &answer["meta"];
        Ok(match meta["result_code"].as_u64() {
            Some(200) => Ok(answer["data"].clone()),
            code => Err(ApiFailure {
                code: code.unwrap_or(0),
                subcode: meta["result_subcode"].as_u64().unwrap_or(0),
                message: meta["result_msg"].as_str().unwrap_or_default().to_owned(),
            }),
        })
    }

    /// Calls an endpoint; `Err` is what the server said. A server that is away fails the test.
    #[track_caller]
    pub(crate) fn try_call(&self, endpoint: &str, body: Value) -> Result<Value, ApiFailure> {
        let request = self.client.post(format!("{}/{endpoint}", self.url)).bearer_auth(&self.token).json(&body);
        self.send(request).unwrap_or_else(|error| panic!("{endpoint} {body}: {error}"))
    }

    /// Calls an endpoint that must succeed.
    #[track_caller]
    pub(crate) fn call(&self, endpoint: &str, body: Value) -> Value {
        self.try_call(endpoint, body.clone()).unwrap_or_else(|failure| panic!("{endpoint} {body}: {failure:?}"))
    }

    /// The id of a queue.
    #[track_caller]
    pub(crate) fn queue(&self, name: &str) -> String {
        let found = self.call("queues.get_all", json!({ "name": format!("^{name}$") }));
        found["queues"][0]["id"].as_str().unwrap_or_else(|| panic!("no queue {name}")).to_owned()
    }

    /// Puts a task into a queue that is named.
    #[track_caller]
    pub(crate) fn enqueue(&self, task: &str, queue: &str) {
        self.call("tasks.enqueue", json!({ "task": task, "queue": self.queue(queue) }));
    }

    /// A task, whole.
    #[track_caller]
    pub(crate) fn task(&self, task: &str) -> Value {
        self.call("tasks.get_by_id", json!({ "task": task }))["task"].clone()
    }

    /// A task's status.
    #[track_caller]
    pub(crate) fn status(&self, task: &str) -> String {
        self.task(task)["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a task has ended and gives it. `failed`, `stopped` and `completed` are ends.
    #[track_caller]
    pub(crate) fn ended(&self, task: &str) -> Value {
        within(PATIENCE, "end of a task", || {
            let found = self.task(task);
            match found["status"].as_str() {
                Some("completed" | "failed" | "stopped") => Ok(found),
                _ => Err(format!("task {task} is {} ({})", found["status"], found["status_message"])),
            }
        })
    }

    /// Waits until a task has ended with this status and gives it.
    #[track_caller]
    pub(crate) fn ended_as(&self, task: &str, status: &str) -> Value {
        let found = self.ended(task);
        assert_eq!(
            found["status"],
            status,
            "task {task}: reason {}, message {}\n{}",
            found["status_reason"],
            found["status_message"],
            self.console(task)
        );
        found
    }

    /// Everything that a task's console has on the server, in order.
    #[track_caller]
    pub(crate) fn console(&self, task: &str) -> String {
        let mut console = String::new();
        self.each_console_event(task, |message| {
            console.push_str(message);
            if !message.ends_with('\n') {
                console.push('\n');
            }
        });
        console
    }

    /// A task's console events for the message of a failed assertion: when, and from which line to which.
    pub(crate) fn console_outline(&self, task: &str) -> String {
        let mut outline = String::new();
        self.each_event(task, |event| {
            let message = event["msg"].as_str().unwrap_or_default();
            let (first, last) =
                (message.lines().next().unwrap_or_default(), message.lines().last().unwrap_or_default());
            outline.push_str(&format!("{} {first:?} .. {last:?}\n", event["timestamp"]));
        });
        outline
    }

    /// Walks over a task's console messages, oldest first, without holding them all.
    #[track_caller]
    pub(crate) fn each_console_event(&self, task: &str, mut take: impl FnMut(&str)) {
        self.each_event(task, |event| take(event["msg"].as_str().unwrap_or_default()));
    }

    #[track_caller]
    fn each_event(&self, task: &str, mut take: impl FnMut(&Value)) {
        let mut scroll = Value::Null;
        loop {
            let mut request = json!({ "task": task, "event_type": "log", "order": "asc", "batch_size": 200 });
            if !scroll.is_null() {
                request["scroll_id"] = scroll;
            }
            let page = self.call("events.get_task_events", request);
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                return;
            }
            events.iter().for_each(&mut take);
            scroll = page["scroll_id"].clone();
        }
    }

    /// The lines of a task's console that begin so, in order.
    #[track_caller]
    pub(crate) fn console_lines(&self, task: &str, prefix: &str) -> Vec<String> {
        self.console(task).lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }
}
