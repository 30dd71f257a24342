//! Taking bodies in: each within a limit, all together within the memory that is set aside for them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures::StreamExt as _;
use protocols::clearml::error::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a body at most. Clients split their batches at 15 MiB, but a single object may be larger.
const BODY_LIMIT: usize = 64 << 20;

/// Bytes of a body at most from somebody without credentials.
const ANONYMOUS_LIMIT: usize = 64 << 10;

/// Bodies up to this many bytes are taken in at once; larger ones wait for their share of the memory.
const SMALL: usize = 256 << 10;

/// Mebibytes of large bodies that are being read at one time.
const READING: usize = 256;

/// Mebibytes that the values of large bodies take at one time; a body that would take more alone is refused.
const VALUES: u32 = 512;

/// A body that does not go on for so long is given up.
const IDLE: Duration = Duration::from_secs(30);

/// The memory for bodies, shared by all calls.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    reading: Arc<Semaphore>,
    values: Arc<Semaphore>,
}

/// A body that was read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self { reading: Arc::new(Semaphore::new(READING)), values: Arc::new(Semaphore::new(VALUES as usize)) }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// 413/0 when it is too large, 400/0 when it breaks off or does not come.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body, is_known: bool) -> Result<Taken, ApiError> {
        let limit = if is_known { BODY_LIMIT } else { ANONYMOUS_LIMIT };
        let too_large = || ApiError::new(413, 0, format!("Request too large (the body may have {limit} bytes)"));
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|declared: usize| declared > limit) {
            return Err(too_large());
        }
        let mut parts = body.into_data_stream();
        let mut bytes = BytesMut::new();
        let mut share = None;
        loop {
            let part = tokio::time::timeout(IDLE, parts.next()).await;
            let part = match part.map_err(|_| ApiError::bad_request("the body did not arrive in time", &[]))? {
                None => break,
                Some(part) => {
                    part.map_err(|error| ApiError::bad_request("the body broke off", &[("reason", &error)]))?
                }
            };
            if bytes.len() + part.len() > limit {
                return Err(too_large());
            }
            if share.is_none() && bytes.len() + part.len() > SMALL {
                share = Some(take(&self.reading, mebibytes(declared.unwrap_or(limit))).await?);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Taken { bytes: bytes.freeze(), _share: share })
    }

    /// Waits for the memory that the values of a body will take; it is given back when the call is over.
    ///
    /// # Errors
    /// 413/0 when it holds so many values that they would never fit.
    pub(super) async fn room_for(&self, bytes: &[u8]) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        // An estimate needs a look at every byte; a body whose worst case fits needs none.
        if bytes.len() <= SMALL {
            return Ok(None);
        }
        let wanted = mebibytes(memory_of(bytes));
        if wanted > VALUES {
            return Err(ApiError::new(
                413,
                0,
                "Request too large (the body holds too many values: send them in parts)",
            ));
        }
        take(&self.values, wanted).await.map(Some)
    }
}

async fn take(memory: &Arc<Semaphore>, mebibytes: u32) -> Result<OwnedSemaphorePermit, ApiError> {
    let share = Arc::clone(memory).acquire_many_owned(mebibytes).await;
    share.map_err(|_| ApiError::bad_request("the server is stopping", &[]))
}

fn mebibytes(bytes: usize) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX).saturating_add(1)
}

/// Bytes that the values of a JSON text take, roughly and rather too many: a small object is a node of a tree with
/// room for eleven members, and a list grows by doubling.
fn memory_of(json: &[u8]) -> usize {
    const OBJECT: usize = 700;
    const ELEMENT: usize = 112;
    let (mut bytes, mut in_text, mut escaped) = (json.len(), false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => bytes += OBJECT,
            b',' | b'[' if !in_text => bytes += ELEMENT,
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(memory_of(br#"{"a": "{[,\"{", "b": [1]}"#), 25 + 700 + 2 * 112);
    }

    #[tokio::test]
    async fn bodies_are_limited() {
        let intake = Intake::new();
        let read = |size: usize, is_known| {
            let intake = intake.clone();
            async move { intake.read(&HeaderMap::new(), Body::from(vec![b' '; size]), is_known).await }
        };
        assert_eq!(read(BODY_LIMIT, true).await.unwrap().bytes.len(), BODY_LIMIT);
        assert!(read(BODY_LIMIT + 1, true).await.unwrap_err().is(413, 0));
        assert!(read(ANONYMOUS_LIMIT + 1, false).await.unwrap_err().is(413, 0));
        assert_eq!(intake.reading.available_permits(), READING, "what was taken is given back");
        let many = format!("[{}]", "{},".repeat(1 << 20));
        assert!(intake.room_for(many.as_bytes()).await.unwrap_err().is(413, 0));
        assert!(intake.room_for(b"{}").await.unwrap().is_none());
    }
}
