//! `events.download_task_log`: the whole console output as a file.

use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use protocols::clearml::error::ApiError;
use serde::Deserialize;

use super::request::known_owner;
use crate::http::{Call, Download};
use crate::state::State;
use crate::store::events::{self, Line, Shown};
use crate::store::{Store, StoreResult};

/// Lines that are read and sent at a time.
const LINES: usize = 5_000;

/// A line when the request does not say how it is to look.
const LINE_FORMAT: &str = "{asctime} {worker} {level} {msg}";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineType {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Deserialize)]
struct DownloadTaskLog {
    task: String,
    #[serde(default)]
    line_type: LineType,
    line_format: Option<String>,
}

/// Sends all lines, the oldest first, as they are read from the store: however many they are, a page of them is in
/// memory. Lines that arrive meanwhile come along.
pub(crate) async fn download_task_log(state: &State, call: &Call) -> Result<Download, ApiError> {
    let request: DownloadTaskLog = call.arguments()?;
    let format = match request.line_type {
        LineType::Json => None,
        LineType::Text => Some(Format::read(request.line_format.as_deref().unwrap_or(LINE_FORMAT))?),
    };
    let task = request.task.clone();
    state.store.read(move |connection| known_owner(connection, &task, false)).await?;
    let file_name = format!("task_{}.log", request.task);
    let reader = Reader { store: state.store.clone(), task: request.task, format, after: None };
    // The first page before the answer begins: what goes wrong with it can still be told.
    let first = reader.next().await?;
    let pages = stream::unfold(first, |page| async move {
        let (bytes, reader) = page?;
        let next = reader.next().await;
        Some(match next {
            Ok(next) => (Ok(bytes), next),
            Err(error) => (Err(std::io::Error::other(error.to_string())), None),
        })
    });
    let body = Body::from_stream(pages.fuse());
    Ok(Download { content_type: "text/plain; charset=utf-8", file_name, body })
}

/// Reads page after page.
struct Reader {
    store: Store,
    task: String,
    format: Option<Format>,
    /// Timestamp and number of the last line that was read.
    after: Option<(i64, i64)>,
}

impl Reader {
    /// The next page and the reader of what follows; `None` at the end.
    async fn next(self) -> Result<Option<(Bytes, Self)>, ApiError> {
        self.store
            .clone()
            .read(move |connection| {
                let Some(owner) = events::owner_of(connection, &self.task)? else { return Ok(None) };
                let from = self.after.unwrap_or((i64::MIN, i64::MIN));
                let lines = events::log_lines(connection, owner, from, false, LINES)?;
                let Some(after) = lines.last().map(|last| (last.timestamp, last.id)) else { return Ok(None) };
                let mut text = String::new();
                if self.after.is_none() && self.format.is_some() && owner.trimmed_lines > 0 {
                    let lines = owner.trimmed_lines;
                    text.push_str(&format!("[{lines} earlier lines are gone: the server keeps no more]\n"));
                }
                for line in lines {
                    self.write(line, &mut text)?;
                }
                Ok(Some((Bytes::from(text), Self { after: Some(after), ..self })))
            })
            .await
    }

    fn write(&self, line: Line, text: &mut String) -> StoreResult<()> {
        match &self.format {
            Some(format) => format.write(&self.task, &line, text),
            None => {
                let shown = Shown { owner: &self.task, is_model: false };
                text.push_str(&serde_json::to_string(&line.into_event(shown)?)?);
            }
        }
        text.push('\n');
        Ok(())
    }
}

/// How a line looks: texts, and fields between them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Time,
    Timestamp,
    Worker,
    Level,
    Message,
    Task,
}

impl Format {
    /// Reads `{asctime} {msg}`; a brace is written twice to stand for itself.
    fn read(format: &str) -> Result<Self, ApiError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            match character {
                '{' | '}' if rest.starts_with(character) => {
                    rest = &rest[1..];
                    text.push(character);
                }
                '{' => {
                    let (name, after) = rest.split_once('}').unwrap_or(("", ""));
                    parts.extend([Part::Text(std::mem::take(&mut text)), Part::named(name)?]);
                    rest = after;
                }
                other => text.push(other),
            }
        }
        parts.push(Part::Text(text));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    fn write(&self, task: &str, line: &Line, text: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Time => text.push_str(&time(line.timestamp)),
                Part::Timestamp => text.push_str(&line.timestamp.to_string()),
                Part::Worker => text.push_str(&line.worker),
                Part::Level => text.push_str(&line.level),
                Part::Message => text.push_str(line.message.trim_end_matches('\n')),
                Part::Task => text.push_str(task),
            }
        }
    }
}

impl Part {
    fn named(name: &str) -> Result<Self, ApiError> {
        Ok(match name {
            "asctime" => Self::Time,
            "timestamp" => Self::Timestamp,
            "worker" => Self::Worker,
            "level" => Self::Level,
            "msg" => Self::Message,
            "task" => Self::Task,
            _ => {
                let fields = "the fields of a line are asctime, timestamp, worker, level, msg and task";
                return Err(ApiError::bad_field("line_format", fields));
            }
        })
    }
}

/// As Python's logging writes it, in UTC.
fn time(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_python_reads_them() {
        let text = |text: &str| Part::Text(text.to_owned());
        let read = |format| Format::read(format).unwrap().0;
        assert_eq!(read("{asctime}: {{{msg}}}"), [Part::Time, text(": {"), Part::Message, text("}")]);
        assert_eq!(read(""), []);
        for bad in ["{secret}", "{msg", "{}", "{msg.__class__}"] {
            assert!(Format::read(bad).is_err_and(|error| error.is(400, 12)), "{bad}");
        }
        assert_eq!(time(1_700_000_000_007), "2023-11-14 22:13:20,007");
    }
}
