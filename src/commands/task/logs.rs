//! `hostler task logs`.

use std::time::Duration;

use protocols::clearml::events::{GetTaskLogRequest, GetTaskLogResponse, LogEvent};
use protocols::clearml::extension::WatchedTask;
use protocols::clearml::status::TaskStatus;
use protocols::ids::TaskId;
use serde_json::json;

use super::super::api::Api;
use super::super::context::Context;
use super::super::lookup;
use super::log_cursor::LogCursor;
use crate::cli::LogsArgs;
use crate::output::{Progress, note};

/// Events per request.
const PAGE: u64 = 1000;

/// Time between two looks while following.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn logs(context: &Context, api: &Api, args: &LogsArgs) -> anyhow::Result<()> {
    let found = lookup::task(api, &args.task).await?;
    let mut log = Log { context, api, task: found.task_id(), cursor: LogCursor::default(), left_out: 0 };
    if let Some(last) = args.last {
        log.print_last(u64::from(last)).await?;
    }
    if !args.follow {
        return if args.last.is_some() { Ok(()) } else { log.print_new().await };
    }
    let status = log.follow(found.status).await?;
    note(&match status {
        Some(TaskStatus::Created) => {
            format!("{} is a draft: put it into a queue with `hostler task enqueue`", found.name)
        }
        Some(status) => format!("{} is {status}", found.name),
        None => format!("{} was deleted", found.name),
    });
    Ok(())
}

struct Log<'a> {
    context: &'a Context,
    api: &'a Api,
    task: TaskId,
    cursor: LogCursor,
    /// How many of the oldest events are not wanted.
    left_out: u64,
}

impl Log<'_> {
    async fn page(&self, request: GetTaskLogRequest) -> anyhow::Result<GetTaskLogResponse> {
        let answer = self.api.call("events.get_task_log", request).await?;
        Ok(serde_json::from_value(answer)?)
    }

    fn request(&self, from_timestamp: Option<i64>) -> GetTaskLogRequest {
        GetTaskLogRequest { task: self.task.clone(), batch_size: PAGE, navigate_earlier: false, from_timestamp }
    }

    /// Prints the last events, and marks all older ones as not wanted.
    async fn print_last(&mut self, count: u64) -> anyhow::Result<()> {
        let request = GetTaskLogRequest { batch_size: count, navigate_earlier: true, ..self.request(None) };
        let mut page = self.page(request).await?;
        page.events.sort_by_key(|event| event.timestamp);
        self.left_out = page.total.saturating_sub(page.events.len() as u64);
        // The page holds all events of its oldest time stamp.
        if let Some(oldest) = page.events.first() {
            self.cursor.leave_out_before(oldest.timestamp);
        }
        self.print(page.events)
    }

    /// Prints what is new since the last time.
    async fn print_new(&mut self) -> anyhow::Result<()> {
        let from = self.cursor.next_from(jiff::Timestamp::now().as_millisecond());
        self.print_from(from).await
    }

    async fn print_from(&mut self, mut from: Option<i64>) -> anyhow::Result<()> {
        loop {
            let page = self.page(self.request(from)).await?;
            let Some(last) = page.events.last().map(|event| event.timestamp) else { return Ok(()) };
            let is_last = (page.events.len() as u64) < PAGE;
            // All events of the last time stamp are in the page: pages have no gap and no overlap.
            self.print(page.events)?;
            if is_last {
                return Ok(());
            }
            from = Some(last);
        }
    }

    fn print(&mut self, events: Vec<LogEvent>) -> anyhow::Result<()> {
        for event in self.cursor.take(events) {
            if self.context.output.json {
                let document = json!({"timestamp": event.timestamp, "level": event.level, "worker": event.worker, "msg": event.msg});
                self.context.output.document(&document)?;
            } else if event.msg.ends_with('\n') {
                self.context.output.bytes(event.msg.as_bytes())?;
            } else {
                self.context.output.line(&event.msg)?;
            }
        }
        Ok(())
    }

    /// Prints until the task has ended, and gives its status; `None` when it is deleted. A server that goes away is
    /// waited for.
    async fn follow(&mut self, mut status: TaskStatus) -> anyhow::Result<Option<TaskStatus>> {
        let mut waiting = None;
        let mut is_away = false;
        loop {
            if status == TaskStatus::Queued {
                waiting.get_or_insert_with(|| Progress::start("waiting in the queue"));
            } else {
                waiting = None;
            }
            match self.look(status).await {
                Ok(None) => return Ok(None),
                Ok(Some(now)) if now == status && has_ended(status) => return Ok(Some(status)),
                Ok(Some(now)) => (status, is_away) = (now, false),
                Err(error) if !is_transient(&error) => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        note(&format!("{error}; waiting for it"));
                    }
                }
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }

    /// Prints what is new and gives the status. `status` was read before the log: what an ended task wrote is in it.
    async fn look(&mut self, status: TaskStatus) -> anyhow::Result<Option<TaskStatus>> {
        self.print_new().await?;
        if has_ended(status) {
            self.print_missing().await?;
            return Ok(Some(status));
        }
        self.status().await
    }

    async fn status(&self) -> anyhow::Result<Option<TaskStatus>> {
        let body = json!({"id": [self.task], "only_fields": ["id", "status"], "search_hidden": true});
        let found: Vec<WatchedTask> = self.api.field("tasks.get_all", body, "tasks").await?;
        Ok(found.into_iter().next().and_then(|task| task.status))
    }

    /// Reads the whole log once more if the server has more events than were printed: some came very late.
    async fn print_missing(&mut self) -> anyhow::Result<()> {
        let page = self.page(GetTaskLogRequest { batch_size: 1, navigate_earlier: true, ..self.request(None) }).await?;
        if self.left_out == 0 && page.total > self.cursor.count() {
            self.print_from(None).await?;
        }
        Ok(())
    }
}

/// Whether nothing more is to be expected: drafts too, until somebody puts them into a queue.
fn has_ended(status: TaskStatus) -> bool {
    !matches!(status, TaskStatus::Queued | TaskStatus::InProgress)
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<drivers::clearml::ClientError>().is_some_and(drivers::clearml::ClientError::is_transient)
}
