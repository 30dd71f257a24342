//! A socket that answers `docker create` like an engine, and keeps what it was asked for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Listener {
    folder: TempDir,
    bodies: Receiver<Value>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine")).unwrap();
        let (sender, bodies) = channel();
        // Ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || serve(&connection, &sender));
            }
        });
        Self { folder, bodies }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}/engine", self.folder.path().display())
    }

    /// The next body of a container that is to be made.
    pub(crate) fn body(&self) -> Value {
        self.bodies.recv_timeout(Duration::from_secs(30)).unwrap()
    }
}

fn serve(connection: &UnixStream, bodies: &Sender<Value>) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            match header.trim().split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()?;
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, answer) = if line.contains("/containers/create") {
            bodies.send(serde_json::from_slice(&body).ok()?).ok()?;
            ("201 Created", r#"{"Id":"made","Warnings":[]}"#)
        } else {
            ("200 OK", "OK")
        };
        let answer = if line.starts_with("HEAD") { "" } else { answer };
        let head = format!(
            "HTTP/1.1 {status}\r\nApi-Version: 1.48\r\nOstype: linux\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            answer.len()
        );
        (&*connection).write_all(format!("{head}{answer}").as_bytes()).ok()?;
    }
}
