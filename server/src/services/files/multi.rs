//! Several parts of a file in one answer: `multipart/byteranges`.

use std::collections::VecDeque;
use std::io;

use axum::body::{Body, Bytes};
use futures::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::download::CHUNK;
use super::range::Part;
use crate::ids;

/// ManyParts on their way out: each with a head, and an end after the last.
pub(super) struct ManyParts {
    file: File,
    boundary: String,
    length: u64,
    waiting: VecDeque<(Vec<u8>, Part)>,
    /// Bytes of the current part that are not sent yet.
    left: u64,
    is_closed: bool,
}

impl ManyParts {
    /// ManyParts of a file of this type and size.
    pub(super) fn new(file: File, parts: Vec<Part>, file_type: &str, size: u64) -> Self {
        let boundary = ids::new_id();
        let head = |part: Part| {
            let range = part.content_range(size);
            format!("\r\n--{boundary}\r\nContent-Type: {file_type}\r\nContent-Range: {range}\r\n\r\n").into_bytes()
        };
        let waiting: VecDeque<_> = parts.into_iter().map(|part| (head(part), part)).collect();
        let content: u64 = waiting.iter().map(|(head, part)| head.len() as u64 + part.length).sum();
        let length = content + end(&boundary).len() as u64;
        Self { file, boundary, length, waiting, left: 0, is_closed: false }
    }

    /// The content type of the answer.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Bytes of the answer.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The answer.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::try_unfold(self, |mut parts| async move {
            let bytes = parts.next().await?;
            Ok::<_, io::Error>(bytes.map(|bytes| (bytes, parts)))
        }))
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left > 0 {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK))];
            let read = self.file.read(&mut chunk).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            chunk.truncate(read);
            self.left -= read as u64;
            return Ok(Some(chunk.into()));
        }
        if let Some((head, part)) = self.waiting.pop_front() {
            self.file.seek(io::SeekFrom::Start(part.start)).await?;
            self.left = part.length;
            return Ok(Some(head.into()));
        }
        let is_closed = std::mem::replace(&mut self.is_closed, true);
        Ok((!is_closed).then(|| end(&self.boundary).into()))
    }
}

fn end(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}
