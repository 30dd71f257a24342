//! When, and from where, credentials were last used. Kept in memory and written now and then: a crash forgets the
//! last minute of it, and no request waits for the disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::time::Micros;

/// Uses closer together than this are one.
const GRAIN: Micros = 1_000_000;

/// One use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// When.
    pub(crate) at: Micros,
    /// The worker id that the caller gave.
    pub(crate) from: Option<String>,
    /// Whether it is not in the store yet.
    is_new: bool,
}

/// Last uses by access key.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    uses: Mutex<HashMap<String, Use>>,
}

impl Usage {
    /// Notes a use now.
    pub(crate) fn note(&self, key: &str, from: Option<&str>, now: Micros) {
        let mut uses = self.lock();
        match uses.get_mut(key) {
            Some(last) if now - last.at < GRAIN && last.from.as_deref() == from => {}
            Some(last) => *last = Use { at: now, from: from.map(str::to_owned), is_new: true },
            None => {
                uses.insert(key.to_owned(), Use { at: now, from: from.map(str::to_owned), is_new: true });
            }
        }
    }

    /// The last use of this process.
    pub(crate) fn last(&self, key: &str) -> Option<Use> {
        self.lock().get(key).cloned()
    }

    /// What is not in the store yet; it counts as stored from now on.
    pub(crate) fn take_new(&self) -> Vec<(String, Micros, Option<String>)> {
        let mut uses = self.lock();
        let new = uses.iter_mut().filter(|(_, last)| last.is_new);
        new.map(|(key, last)| {
            last.is_new = false;
            (key.clone(), last.at, last.from.clone())
        })
        .collect()
    }

    /// Forgets keys that are not there any more.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|key, _| is_there(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_taken_once_and_close_ones_are_one() {
        let usage = Usage::default();
        usage.note("K", None, 10);
        usage.note("K", None, 11);
        assert_eq!(usage.take_new(), [("K".to_owned(), 10, None)]);
        assert_eq!(usage.take_new(), []);
        usage.note("K", Some("host:1"), 12);
        assert_eq!(usage.last("K").map(|last| last.at), Some(12));
        usage.retain(|_| false);
        assert_eq!(usage.last("K"), None);
    }
}
