//! How the executor and the init of a container pack what they say: frames with their length before them (four bytes,
//! big endian), each one value in named MessagePack.
//!
//! The init compiles this file in (`init/src/main.rs`): it uses nothing of this crate.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No frame is larger, in bytes.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// Why bytes are not a frame, or a value cannot become one.
#[derive(Debug)]
pub enum FrameError {
    /// Larger than [`MAX_FRAME_BYTES`].
    TooLarge {
        /// How large, in bytes.
        bytes: usize,
    },
    /// Nothing that is known here.
    Decode(rmp_serde::decode::Error),
    /// A value that MessagePack cannot hold.
    Encode(rmp_serde::encode::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(formatter, "a frame of {bytes} bytes is larger than the limit of {MAX_FRAME_BYTES}")
            }
            Self::Decode(_) => formatter.write_str("cannot understand a frame"),
            Self::Encode(_) => formatter.write_str("cannot encode a frame"),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Decode(source) => Some(source),
            Self::Encode(source) => Some(source),
        }
    }
}

/// A frame as it travels.
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, FrameError> {
    let body = rmp_serde::to_vec_named(frame).map_err(FrameError::Encode)?;
    let too_large = || FrameError::TooLarge { bytes: body.len() };
    let length = u32::try_from(body.len()).map_err(|_| too_large())?;
    if body.len() > MAX_FRAME_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Puts frames together again from the pieces in which they arrive.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// How many of them have been given out.
    taken: usize,
}

impl FrameBuffer {
    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame that has arrived whole. After an error the stream is of no use any more.
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge { bytes: length });
        }
        let Some(body) = rest.get(..length) else {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            return Ok(None);
        };
        let frame = rmp_serde::from_slice(body).map_err(FrameError::Decode)?;
        self.taken += 4 + length;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        Ok(Some(frame))
    }
}
