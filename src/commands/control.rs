//! Speaks to the daemon of this machine over its control socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::daemon::control_socket;
use protocols::control::{ControlAnswer, ControlRequest, DaemonStatus};

use crate::exit::{Exit, Problem};

/// Longest time for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// Nobody listens there.
    #[error("no daemon runs on the state directory {}", state_dir.display())]
    NotRunning { state_dir: PathBuf },
    /// Somebody listens there.
    #[error("the daemon of {} does not answer", state_dir.display())]
    NoAnswer {
        state_dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl From<ControlError> for Exit {
    fn from(_: ControlError) -> Self {
        Self::Unavailable
    }
}

/// Sends a request and waits for its answer. Blocks.
pub(super) fn ask(state_dir: &Path, request: &ControlRequest) -> Result<ControlAnswer, ControlError> {
    let no_answer = |source| ControlError::NoAnswer { state_dir: state_dir.to_owned(), source };
    let mut stream = match UnixStream::connect(control_socket(state_dir)) {
        Ok(stream) => stream,
        Err(error) => {
            let is_nobody =
                matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused);
            let not_running = ControlError::NotRunning { state_dir: state_dir.to_owned() };
            return Err(if is_nobody { not_running } else { no_answer(error) });
        }
    };
    let exchange = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let line = serde_json::to_string(request)? + "\n";
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    };
    exchange(&mut stream).map_err(no_answer)
}

/// As [`ask`], with an error for people.
pub(super) fn answer(state_dir: &Path, request: &ControlRequest) -> anyhow::Result<ControlAnswer> {
    ask(state_dir, request).map_err(unavailable)
}

/// What the daemon does.
pub(super) fn status(state_dir: &Path) -> anyhow::Result<DaemonStatus> {
    match answer(state_dir, &ControlRequest::Status)? {
        ControlAnswer::Status(status) => Ok(*status),
        ControlAnswer::Accepted | ControlAnswer::Explanation(_) => {
            Err(Problem::with(Exit::Internal, "the daemon gave the answer to another question"))
        }
        ControlAnswer::Refused { why } => Err(Problem::refused(why)),
    }
}

/// Tells the daemon to do something.
pub(super) fn tell(state_dir: &Path, request: &ControlRequest) -> anyhow::Result<()> {
    match answer(state_dir, request)? {
        ControlAnswer::Accepted | ControlAnswer::Status(_) | ControlAnswer::Explanation(_) => Ok(()),
        ControlAnswer::Refused { why } => Err(Problem::refused(why)),
    }
}

fn unavailable(error: ControlError) -> anyhow::Error {
    let message = match &error {
        ControlError::NotRunning { .. } => error.to_string(),
        ControlError::NoAnswer { source, .. } => format!("{error}: {source}"),
    };
    Problem::with(error.into(), message)
}
