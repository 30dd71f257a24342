//! Frames on a connected stream.

use std::marker::PhantomData;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use protocols::ipc::MAX_FRAME_BYTES;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::IpcError;

/// Four bytes of length, big endian, then the frame: the default layout, which must not change.
fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec()
}

/// Both directions of a connected stream.
pub(super) fn frames<R, W>(stream: UnixStream) -> (FrameReader<R>, FrameWriter<W>) {
    let (read, write) = stream.into_split();
    (
        FrameReader { frames: FramedRead::new(read, codec()), frame: PhantomData },
        FrameWriter { frames: FramedWrite::new(write, codec()), frame: PhantomData },
    )
}

/// The receiving half of a connection.
#[derive(Debug)]
pub struct FrameReader<T> {
    frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    frame: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> FrameReader<T> {
    /// Waits for the next frame; `None` when the peer closed the connection between two frames.
    ///
    /// Safe to drop while it waits: bytes that have arrived are kept for the next call. After an error the
    /// connection is of no use any more.
    pub async fn next(&mut self) -> Result<Option<T>, IpcError> {
        match self.frames.next().await {
            None => Ok(None),
            Some(Err(source)) => Err(IpcError::Receive { source }),
            Some(Ok(bytes)) => rmp_serde::from_slice(&bytes).map(Some).map_err(|source| IpcError::Decode { source }),
        }
    }
}

/// The sending half of a connection.
#[derive(Debug)]
pub struct FrameWriter<T> {
    frames: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    frame: PhantomData<fn(T)>,
}

impl<T: Serialize> FrameWriter<T> {
    /// Sends one frame, and returns when the kernel has all of it.
    ///
    /// Not to be dropped while it waits: a frame that was cut in the middle spoils the connection.
    pub async fn send(&mut self, frame: &T) -> Result<(), IpcError> {
        let bytes = rmp_serde::to_vec_named(frame).map_err(|source| IpcError::Encode { source })?;
        self.frames.send(Bytes::from(bytes)).await.map_err(|source| IpcError::Send { source })
    }
}
