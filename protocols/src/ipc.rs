//! Daemon and executor: what they say to each other over the unix socket.
//!
//! Frames are length-delimited (four bytes, big endian), each one value in named MessagePack. The executor dials
//! and redials for ever; first contact and reattachment are the same handshake: [`ExecutorFrame::Hello`], then
//! [`DaemonFrame::Welcome`] or [`DaemonFrame::Refused`]. Facts are numbered from 1 and repeated until
//! acknowledged; the daemon acknowledges when a fact is durable. Console bytes do not cross the socket: both
//! sides see the file, the socket only says how long it is.

use serde::{Deserialize, Serialize};

use crate::failure::Phase;
use crate::ids::{AttemptId, ProcessId, TaskId};
use crate::lifecycle::StopReason;
use crate::order::{Ended, EnvironmentReport};

/// The version spoken here. The daemon also takes executors of the version before.
pub const PROTOCOL_VERSION: u16 = 1;

/// No frame is larger, in bytes.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// What an executor reports. Numbered, kept until acknowledged, delivered in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorFact {
    /// A phase began. For people only.
    PhaseStarted(Phase),
    /// Code and environment are ready.
    EnvironmentReady(EnvironmentReport),
    /// User code is about to be started; the record on disk says so already.
    UserStarted,
    /// All over, nothing is alive.
    Ended(Ended),
}

/// Upwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorFrame {
    /// The first frame of every connection.
    Hello {
        /// [`PROTOCOL_VERSION`] of the executor.
        protocol: u16,
        /// Its task.
        task: TaskId,
        /// Which pull of the task.
        pull: u64,
        /// Which try.
        attempt: AttemptId,
        /// The attempt's token. A secret.
        token: String,
        /// The executor itself.
        process: ProcessId,
    },
    /// A fact with its number.
    Fact {
        /// From 1, without gaps, the same again after a reconnection.
        number: u64,
        /// What happened.
        fact: ExecutorFact,
    },
    /// The console file has grown. Replaceable: only the newest matters.
    Console {
        /// Its length in bytes.
        length: u64,
        /// When that was seen, in milliseconds since the epoch.
        at_ms: i64,
    },
}

/// Downwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonFrame {
    /// The executor is who it says it is; facts up to this number are durable already.
    Welcome {
        /// Greatest fact number that the daemon has; 0 for none.
        acknowledged: u64,
    },
    /// The daemon does not want this executor: it must end everything it runs and leave.
    Refused {
        /// Why, for the executor's log.
        why: String,
    },
    /// Facts up to this number are durable.
    Acknowledged {
        /// The number.
        number: u64,
    },
    /// End the task: SIGTERM, grace, SIGKILL to whatever is left.
    Stop {
        /// Why.
        reason: StopReason,
        /// Time between the two signals, in milliseconds; 0 for SIGKILL at once.
        grace_ms: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes on the wire are frozen: an executor outlives its daemon, and meets the next version of it.
    #[test]
    fn the_bytes_of_frames_are_frozen() {
        let bytes = |frame: &ExecutorFrame| rmp_serde::to_vec_named(frame).unwrap();
        assert_eq!(
            bytes(&ExecutorFrame::Console { length: 5, at_ms: 7 }),
            b"\x81\xa7console\x82\xa6length\x05\xa5at_ms\x07"
        );
        assert_eq!(
            bytes(&ExecutorFrame::Fact { number: 1, fact: ExecutorFact::UserStarted }),
            b"\x81\xa4fact\x82\xa6number\x01\xa4fact\xacuser_started"
        );
        assert_eq!(
            rmp_serde::to_vec_named(&DaemonFrame::Stop { reason: StopReason::UserAbort, grace_ms: 10 }).unwrap(),
            b"\x81\xa4stop\x82\xa6reason\xaauser_abort\xa8grace_ms\x0a"
        );
        assert_eq!(
            rmp_serde::to_vec_named(&DaemonFrame::Welcome { acknowledged: 3 }).unwrap(),
            b"\x81\xa7welcome\x81\xacacknowledged\x03"
        );
    }

    /// A field that a newer peer adds does not stop an older one.
    #[test]
    fn unknown_fields_are_ignored() {
        let bytes = b"\x81\xa7welcome\x82\xacacknowledged\x03\xa3new\x01";
        let frame: DaemonFrame = rmp_serde::from_slice(bytes).unwrap();
        assert_eq!(frame, DaemonFrame::Welcome { acknowledged: 3 });
    }
}
