//! A client with as little work of its own as can be: one keep-alive connection, one buffer, no parsing beyond the
//! head of the answer.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a body is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Json,
    JsonLines,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    authorization: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    /// `authorization` is the value of the header of that name.
    pub(crate) async fn connect(address: SocketAddr, authorization: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, authorization: authorization.to_owned(), request: Vec::new(), answer: Vec::new() })
    }

    /// Calls an endpoint as the SDK does, GET with a body, and returns the body of the answer.
    ///
    /// # Panics
    /// The server answers anything but 200: what was to be measured did not happen.
    pub(crate) async fn call(&mut self, endpoint: &str, content: Content, body: &str) -> io::Result<&[u8]> {
        use std::io::Write as _;
        let content_type = match content {
            Content::Json => "application/json",
            Content::JsonLines => "application/json-lines",
        };
        self.request.clear();
        write!(
            self.request,
            "GET /{endpoint} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        )?;
        self.stream.write_all(&self.request).await?;
        let body = self.receive().await?;
        let answer = &self.answer[body];
        assert!(
            self.answer.starts_with(b"HTTP/1.1 200"),
            "{endpoint} failed: {}",
            String::from_utf8_lossy(&answer[..answer.len().min(500)])
        );
        Ok(answer)
    }

    /// [`Client::call`] with a JSON body.
    pub(crate) async fn json(&mut self, endpoint: &str, body: &str) -> io::Result<&[u8]> {
        self.call(endpoint, Content::Json, body).await
    }

    /// The `data` of an answer.
    pub(crate) async fn data(&mut self, endpoint: &str, body: &serde_json::Value) -> io::Result<serde_json::Value> {
        let answer = self.json(endpoint, &body.to_string()).await?;
        let mut answer: serde_json::Value = serde_json::from_slice(answer)?;
        Ok(answer["data"].take())
    }

    async fn receive(&mut self) -> io::Result<std::ops::Range<usize>> {
        self.answer.clear();
        let mut whole = None;
        loop {
            if let Some((start, end)) = whole
                && self.answer.len() >= end
            {
                return Ok(start..end);
            }
            let missing = whole.map_or(4096, |(_, end): (usize, usize)| end - self.answer.len());
            self.answer.reserve(missing.max(4096));
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if whole.is_none() {
                whole = head(&self.answer)?.map(|(start, length)| (start, start + length));
            }
        }
    }
}

/// Where the body begins and how long it is, once the head is there.
fn head(answer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&answer[..end]);
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.map(|length| Some((end + 4, length))).ok_or_else(|| io::Error::other("an answer without a length"))
}
