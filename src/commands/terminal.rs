//! The task's console on this terminal: a copy of the file that it is written into.
//!
//! Not a link of its way to the server: neither waits for the other, and a terminal that stands still holds nobody up.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use protocols::ids::TaskId;
use protocols::order::CONSOLE_FILE;

use crate::exit::Problem;

/// How soon the file is looked at again after it has grown.
const BUSY_INTERVAL: Duration = Duration::from_millis(10);
/// The longest time between two looks.
const IDLE_INTERVAL: Duration = Duration::from_millis(160);
const PIECE_BYTES: usize = 64 * 1024;

/// Copies until it is told that the task has ended.
pub(super) struct Terminal {
    has_ended: Arc<AtomicBool>,
    copying: JoinHandle<()>,
}

impl Terminal {
    /// Follows the attempts of a task, from the beginning; what an earlier process has shown is shown again. With
    /// `to_errors` standard output is for something else.
    pub(super) fn follow(
        state_dir: &Path,
        task: &TaskId,
        log_file: Option<&Path>,
        to_errors: bool,
    ) -> anyhow::Result<Self> {
        let terminal: Box<dyn Write + Send> = if to_errors { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        let mut copies = vec![("the terminal", terminal)];
        if let Some(path) = log_file {
            let file = File::create(path)
                .map_err(|error| Problem::usage(format!("cannot write {}: {error}", path.display())))?;
            copies.push(("the log file", Box::new(file)));
        }
        let mut follower = Follower::new(state_dir, task, copies);
        let has_ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&has_ended);
        let follow = move || {
            let mut interval = BUSY_INTERVAL;
            while !is_over.load(Ordering::Acquire) {
                interval = if follower.copy() { BUSY_INTERVAL } else { (interval * 2).min(IDLE_INTERVAL) };
                std::thread::park_timeout(interval);
            }
            follower.copy();
        };
        let copying = std::thread::Builder::new().name("terminal".to_owned()).spawn(follow);
        Ok(Self { has_ended, copying: copying.context("cannot start a thread")? })
    }

    /// Copies what is left.
    pub(super) fn finish(self) {
        self.has_ended.store(true, Ordering::Release);
        self.copying.thread().unpark();
        if self.copying.join().is_err() {
            tracing::error!("the console is not shown to its end");
        }
    }
}

/// The pull and the number of an attempt, by which they are ordered.
type Attempt = (u64, u32);

struct Follower<W> {
    attempts: PathBuf,
    prefix: String,
    current: Option<(Attempt, File)>,
    /// Where it goes, and what that is called.
    copies: Vec<(&'static str, W)>,
}

impl<W: Write> Follower<W> {
    fn new(state_dir: &Path, task: &TaskId, copies: Vec<(&'static str, W)>) -> Self {
        Self { attempts: state_dir.join("attempts"), prefix: format!("{task}."), current: None, copies }
    }

    /// Copies what has come since the last time; whether there was anything.
    fn copy(&mut self) -> bool {
        let mut has_grown = self.copy_current();
        while let Some((attempt, file)) = self.next() {
            // There is a later one: this one does not grow any more.
            has_grown |= self.copy_current();
            self.current = Some((attempt, file));
            has_grown |= self.copy_current();
        }
        has_grown
    }

    fn copy_current(&mut self) -> bool {
        let Some((_, file)) = &mut self.current else { return false };
        let (mut buffer, mut has_grown) = ([0; PIECE_BYTES], false);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return has_grown,
                Ok(count) => {
                    has_grown = true;
                    let piece = &buffer[..count];
                    // Whoever does not want more does not keep the others, or the task, from going on.
                    self.copies.retain_mut(|(name, copy)| {
                        let written = copy.write_all(piece).and_then(|()| copy.flush());
                        if let Err(error) = &written {
                            tracing::warn!(%error, "{name} does not take the console any more");
                        }
                        written.is_ok()
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "the console cannot be read");
                    return has_grown;
                }
            }
        }
    }

    /// The earliest attempt after the current one that has a console.
    fn next(&self) -> Option<(Attempt, File)> {
        let after = self.current.as_ref().map(|(attempt, _)| *attempt);
        let names = std::fs::read_dir(&self.attempts).ok()?.flatten().map(|entry| entry.file_name());
        let attempts = names.filter_map(|name| {
            let (pull, attempt) = name.to_str()?.strip_prefix(&self.prefix)?.split_once('.')?;
            Some(((pull.parse().ok()?, attempt.parse().ok()?), name))
        });
        let mut later: Vec<_> = attempts.filter(|(attempt, _)| after.is_none_or(|after| *attempt > after)).collect();
        later.sort();
        let open = |(attempt, name)| Some((attempt, File::open(self.attempts.join(name).join(CONSOLE_FILE)).ok()?));
        later.into_iter().find_map(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(state: &Path, attempt: &str, text: &str) {
        let folder = state.join("attempts").join(attempt);
        std::fs::create_dir_all(&folder).unwrap();
        let mut file = File::options().create(true).append(true).open(folder.join(CONSOLE_FILE)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn attempts_follow_each_other_and_nothing_is_lost() {
        let state = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(state.path(), &TaskId::from("t"), vec![("memory", Vec::new())]);
        assert!(!follower.copy(), "there is nothing yet");
        print(state.path(), "t.9.1", "one ");
        print(state.path(), "other.1.1", "never ");
        assert!(follower.copy());
        print(state.path(), "t.9.1", "two ");
        print(state.path(), "t.9.2", "three ");
        print(state.path(), "t.10.1", "four");
        assert!(follower.copy());
        assert!(!follower.copy());
        assert_eq!(follower.copies[0].1, b"one two three four");
    }

    #[test]
    fn one_who_does_not_want_more_keeps_nobody_back() {
        let state = tempfile::tempdir().unwrap();
        let (full, read) = (File::options().write(true).open("/dev/full").unwrap(), state.path().join("copy"));
        let copies = vec![("a full disk", full), ("a file", File::create(&read).unwrap())];
        let mut follower = Follower::new(state.path(), &TaskId::from("t"), copies);
        print(state.path(), "t.1.1", "all of it");
        follower.copy();
        assert_eq!((std::fs::read(&read).unwrap().as_slice(), follower.copies.len()), (&b"all of it"[..], 1));
    }
}
