//! How a process ended. A file of its own because the container's init compiles it in; see `init/src/main.rs`.

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the process reported success.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// What a program returns that ends as this one did: 128 and the signal's number for a signal.
    pub fn as_code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}
