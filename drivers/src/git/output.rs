//! Reads git's output: which lines are worth showing, which one says what went wrong.

use std::time::{Duration, Instant};

use crate::scrub::Scrubber;

/// Percentages of one long transfer are shown this often.
const SHOW_PERCENT_EVERY: Duration = Duration::from_secs(5);

/// Passes git's output on, without secrets and without most of its percentages.
pub(crate) struct Display<'a> {
    progress: &'a dyn Fn(&str),
    scrubber: &'a Scrubber,
    percent_shown: Instant,
}

impl<'a> Display<'a> {
    /// Shows lines through `progress`.
    pub(crate) fn new(progress: &'a dyn Fn(&str), scrubber: &'a Scrubber) -> Self {
        Self { progress, scrubber, percent_shown: Instant::now() }
    }

    /// Takes the next line of output.
    pub(crate) fn line(&mut self, line: &str) {
        if is_noise(line) {
            return;
        }
        if is_percentage(line) {
            if self.percent_shown.elapsed() < SHOW_PERCENT_EVERY {
                return;
            }
            self.percent_shown = Instant::now();
        }
        (self.progress)(&self.scrubber.scrub(line));
    }
}

/// Whether a line is one of many, like `Receiving objects:  42% (..)`.
fn is_percentage(line: &str) -> bool {
    let shows_percent =
        |(before, _): (&str, &str)| before.contains(':') && before.ends_with(|letter: char| letter.is_ascii_digit());
    !line.contains(", done.") && line.split_once('%').is_some_and(shows_percent)
}

/// Whether a line tells nobody anything: how the server counts, which references were written.
fn is_noise(line: &str) -> bool {
    const STARTS: [&str; 6] =
        ["remote: Enumerating ", "remote: Counting ", "remote: Compressing ", "remote: Total ", "From ", " * ["];
    STARTS.iter().any(|start| line.starts_with(start))
}

/// The line of a failed command that says most; with the line before it where git's own says nothing.
pub(crate) fn reason(tail: &[String], scrubber: &Scrubber) -> String {
    let lines: Vec<&str> = tail
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !is_percentage(line) && !is_noise(line))
        .collect();
    let is_verdict = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        lower.starts_with("fatal:") || lower.starts_with("error:") || lower.contains("permission denied")
    };
    let position = lines.iter().rposition(is_verdict).or(lines.len().checked_sub(1));
    let Some(position) = position else { return "git said nothing".to_owned() };
    let verdict = lines[position];
    let is_empty_phrase = verdict.contains("Could not read from remote repository") || verdict.contains("early EOF");
    let text = match position.checked_sub(1).map(|before| lines[before]) {
        Some(before) if is_empty_phrase => format!("{before}: {verdict}"),
        Some(before) if before.starts_with("remote:") && !before.contains(", done.") => format!("{verdict} ({before})"),
        Some(_) | None => verdict.to_owned(),
    };
    let hint = if text.contains("terminal prompts disabled") || text.contains("could not read Username") {
        " (no credentials are configured for this host: set agent.git_user and agent.git_pass)"
    } else {
        ""
    };
    format!("{}{hint}", scrubber.scrub(&text))
}

/// Whether a failure is one of the network, so that a later try may succeed.
pub(crate) fn is_network_failure(tail: &[String]) -> bool {
    const SIGNS: [&str; 17] = [
        "could not resolve",
        "temporary failure in name resolution",
        "timed out",
        "timeout",
        "connection refused",
        "connection reset",
        "connection closed",
        "network is unreachable",
        "no route to host",
        "failed to connect",
        "early eof",
        "rpc failed",
        "unexpected disconnect",
        "operation too slow",
        "returned error: 5",
        "returned error: 429",
        "gnutls_handshake",
    ];
    contains_any(tail, &SIGNS)
}

/// Whether the server has the repository but not what was asked for by name.
pub(crate) fn is_missing_reference(tail: &[String]) -> bool {
    const SIGNS: [&str; 8] = [
        "not our ref",
        "unadvertised object",
        "couldn't find remote ref",
        "is not valid",
        "unable to find",
        // A branch `a` that has become `a/b`: a fetch of everything prunes the old one.
        "cannot lock ref",
        "local refs could not be updated",
        "no such ref",
    ];
    contains_any(tail, &SIGNS)
}

/// Whether the disk is full.
pub(crate) fn is_disk_full(tail: &[String]) -> bool {
    contains_any(tail, &["no space left on device", "disk quota exceeded"])
}

fn contains_any(tail: &[String], signs: &[&str]) -> bool {
    tail.iter().map(|line| line.to_ascii_lowercase()).any(|line| signs.iter().any(|sign| line.contains(sign)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_line_that_matters_is_found() {
        let check = |output: &str, expected: &str| {
            let tail: Vec<String> = output.lines().map(str::to_owned).collect();
            assert_eq!(reason(&tail, &Scrubber::default()), expected);
        };
        check(
            "git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n\
             Please make sure you have the correct access rights\nand the repository exists.",
            "git@host: Permission denied (publickey).: fatal: Could not read from remote repository.",
        );
        check(
            "remote: Repository not found.\nfatal: repository 'https://u:p@host/r.git/' not found",
            "fatal: repository 'https://***@host/r.git/' not found (remote: Repository not found.)",
        );
        check("remote: Counting objects: 100% (3/3), done.\nfatal: bad", "fatal: bad");
        check("something odd", "something odd");
        check("", "git said nothing");
    }

    #[test]
    fn missing_credentials_come_with_advice() {
        let tail = ["fatal: could not read Username for 'https://host': terminal prompts disabled".to_owned()];
        assert!(reason(&tail, &Scrubber::default()).contains("agent.git_user"));
        assert!(!is_network_failure(&tail));
    }

    #[test]
    fn percentages_are_left_out() {
        let shown = RefCell::new(Vec::new());
        let sink = |line: &str| shown.borrow_mut().push(line.to_owned());
        let scrubber = Scrubber::default();
        let mut display = Display::new(&sink, &scrubber);
        for line in [
            "Receiving objects:  10% (1/10)",
            "Receiving objects: 100% (10/10), 3 KiB, done.",
            "Resolving deltas: 5%",
            "remote: Total 7",
        ] {
            display.line(line);
        }
        assert_eq!(shown.into_inner(), ["Receiving objects: 100% (10/10), 3 KiB, done."]);
    }

    #[test]
    fn failures_are_told_apart() {
        let line = |text: &str| [text.to_owned()];
        assert!(is_network_failure(&line("fatal: unable to access 'https://x/': Could not resolve host: x")));
        assert!(is_missing_reference(&line("fatal: remote error: upload-pack: not our ref 12ab")));
        assert!(is_missing_reference(&line("fatal: couldn't find remote ref refs/heads/x")));
        assert!(!is_missing_reference(&line("fatal: Authentication failed for 'https://x/'")));
        assert!(is_disk_full(&line("fatal: write error: No space left on device")));
    }
}
