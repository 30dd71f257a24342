//! Sessions that were logged out, in memory.

use std::collections::HashMap;

use crate::time::Micros;

/// The ended sessions, and up to which one they are known.
#[derive(Debug, Default)]
pub(crate) struct EndedSessions {
    last: i64,
    expiry: HashMap<String, Micros>,
}

impl EndedSessions {
    /// The number of the newest one that is known.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Adds newer ones, with their numbers and expiry.
    pub(crate) fn extend(&mut self, newer: Vec<(i64, String, Micros)>) {
        for (number, session, expires) in newer {
            self.last = self.last.max(number);
            self.expiry.insert(session, expires);
        }
    }

    /// Whether a session was ended.
    pub(crate) fn contains(&self, session: &str) -> bool {
        self.expiry.contains_key(session)
    }

    /// Forgets those that no token can belong to any more.
    pub(crate) fn trim(&mut self, now: Micros) {
        self.expiry.retain(|_, expires| *expires > now);
    }
}
