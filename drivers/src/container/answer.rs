//! Questions to an engine whose answers are read here: engines know more states of a container than the client library,
//! which then reads nothing at all. One connection for each, as HTTP/1.0 has it.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::EngineError;

/// No engine has more to say of its containers.
const MAX_BYTES: u64 = 256 << 20;

/// A container in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) names: Option<Vec<String>>,
    pub(super) labels: Option<HashMap<String, String>>,
}

/// A container that was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspected {
    pub(super) state: State,
}

/// How it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    pub(super) running: bool,
    pub(super) exit_code: i64,
    #[serde(rename = "OOMKilled")]
    pub(super) oom_killed: bool,
    pub(super) error: String,
    pub(super) pid: i32,
}

impl Default for State {
    fn default() -> Self {
        Self { running: false, exit_code: -1, oom_killed: false, error: String::new(), pid: 0 }
    }
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Asks for a path, and reads the answer.
pub(super) fn get<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    what: &str,
    patience: Duration,
) -> Result<T, EngineError> {
    let broken = |error: bollard::errors::Error| EngineError::of(what, error);
    let connection = UnixStream::connect(socket);
    let mut connection = connection.map_err(|source| EngineError::Away { socket: socket.to_owned(), source })?;
    let bytes = exchange(&mut connection, path, patience).map_err(|error| broken(error.into()))?;
    let (status, body) = split(&bytes).ok_or_else(|| broken(io::Error::from(io::ErrorKind::InvalidData).into()))?;
    if status == 200 {
        return serde_json::from_slice(body).map_err(|error| broken(error.into()));
    }
    let message = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.message);
    let message = message.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    Err(EngineError::Refused { what: what.to_owned(), status, message: message.trim().to_owned() })
}

fn exchange(connection: &mut UnixStream, path: &str, patience: Duration) -> io::Result<Vec<u8>> {
    connection.set_read_timeout(Some(patience))?;
    connection.set_write_timeout(Some(patience))?;
    connection.write_all(format!("GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    connection.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Status and body; `None` where the answer is not whole.
fn split(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What is read of an engine's answer.
    fn answered<T: DeserializeOwned>(answer: &'static str) -> Result<T, EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = connection.read(&mut request).unwrap();
            connection.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let read = get(&socket, "/containers/json?all=true", "list containers", Duration::from_secs(10));
        assert!(engine.join().unwrap().starts_with("GET /containers/json?all=true HTTP/1.0\r\n"));
        read
    }

    #[test]
    fn a_state_that_nobody_knows_is_no_reason_to_read_nothing() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n\
            [{\"Id\": \"a\", \"Names\": [\"/n\"], \"Labels\": null, \"State\": \"stopped\"}]";
        let listed: Vec<Listed> = answered(answer).unwrap();
        assert_eq!((listed[0].id.as_str(), listed.len()), ("a", 1));
        let answer =
            "HTTP/1.1 200 OK\r\n\r\n{\"State\": {\"Status\": \"stopped\", \"ExitCode\": 7, \"OOMKilled\": true}}";
        let inspected: Inspected = answered(answer).unwrap();
        assert_eq!((inspected.state.exit_code, inspected.state.oom_killed, inspected.state.pid), (7, true, 0));
    }

    #[test]
    fn a_refusal_is_in_the_engines_words_and_half_an_answer_is_none() {
        let refused = answered::<Inspected>("HTTP/1.0 404 Not Found\r\n\r\n{\"message\": \"no such container\"}\n");
        let error = refused.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert_eq!(error.to_string(), "the container engine cannot list containers: no such container");
        for half in ["", "HTTP/1.0 200 OK\r\n", "HTTP/1.0 200 OK\r\n\r\n[{\"Id\": ", "nonsense\r\n\r\n[]"] {
            assert!(answered::<Vec<Listed>>(half).unwrap_err().is_away(), "{half}");
        }
    }
}
