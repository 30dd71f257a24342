//! Console bytes to log messages: pure.

/// No message of a log event is longer, in characters; the limit of the stock agent.
pub(crate) const MAX_MESSAGE_CHARACTERS: usize = 65_536;

/// A line without an end is cut when it is longer than this, in bytes.
const MAX_LINE_BYTES: usize = 48 * 1024;

/// What became of a piece of the console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// How many bytes of it are dealt with.
    pub(crate) consumed: usize,
    /// The messages they make, in order; lines are joined up to [`MAX_MESSAGE_CHARACTERS`].
    pub(crate) messages: Vec<String>,
}

/// How to cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceRules {
    /// Keep only what follows the last carriage return of a line; otherwise a carriage return ends a line.
    pub(crate) suppress_carriage_return: bool,
    /// Nothing will follow, or has not for a while: what has no line end goes too.
    pub(crate) flush: bool,
}

/// Cuts `bytes`, which begin at the start of a line, into messages.
pub(crate) fn slice(bytes: &[u8], rules: SliceRules) -> Slice {
    let mut cutter = Cutter { rules, messages: Vec::new(), open: String::new(), open_characters: 0 };
    let mut consumed = 0;
    while consumed < bytes.len() {
        let rest = &bytes[consumed..];
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            cutter.line(&rest[..end], true);
            consumed += end + 1;
            continue;
        }
        let take = if rules.flush { rest.len() } else { cut_of_open_line(rest, rules) };
        if take == 0 {
            break;
        }
        let collapsed_away = rules.suppress_carriage_return && !rules.flush && rest[take - 1] == b'\r';
        if !collapsed_away {
            cutter.line(&rest[..take], false);
        }
        consumed += take;
        if !rules.flush {
            break;
        }
    }
    cutter.close();
    Slice { consumed, messages: cutter.messages }
}

/// How much of a line that has no end yet may go: none while it is short; of a progress bar, everything that a
/// later carriage return has overwritten; otherwise up to a whole character.
fn cut_of_open_line(line: &[u8], rules: SliceRules) -> usize {
    if line.len() < MAX_LINE_BYTES {
        return 0;
    }
    if rules.suppress_carriage_return
        && let Some(last) = line[..line.len() - 1].iter().rposition(|byte| *byte == b'\r')
    {
        return last + 1;
    }
    let tail = line.len().saturating_sub(4);
    match std::str::from_utf8(&line[tail..]) {
        Ok(_) => line.len(),
        // An unfinished character at the very end waits for its rest; anything else that is not UTF-8 goes as it is.
        Err(error) if error.error_len().is_none() => tail + error.valid_up_to(),
        Err(_) => unfinished_tail(line),
    }
}

/// The length of `line` without an unfinished UTF-8 character at its end.
fn unfinished_tail(line: &[u8]) -> usize {
    for back in 1..=3.min(line.len()) {
        let byte = line[line.len() - back];
        if byte & 0xC0 == 0x80 {
            continue;
        }
        let needed = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            _ => 1,
        };
        return if needed > back { line.len() - back } else { line.len() };
    }
    line.len()
}

struct Cutter {
    rules: SliceRules,
    messages: Vec<String>,
    open: String,
    open_characters: usize,
}

impl Cutter {
    fn line(&mut self, raw: &[u8], ended: bool) {
        let text = String::from_utf8_lossy(raw);
        let text = if self.rules.suppress_carriage_return {
            let shown = text.trim_end_matches('\r');
            shown.rsplit('\r').next().unwrap_or(shown).to_owned()
        } else {
            text.trim_end_matches('\r').replace('\r', "\n")
        };
        let mut text = text.replace('\u{8}', "");
        if ended {
            text.push('\n');
        }
        let characters = text.chars().count();
        if self.open_characters + characters > MAX_MESSAGE_CHARACTERS {
            self.close();
        }
        if characters <= MAX_MESSAGE_CHARACTERS {
            self.open.push_str(&text);
            self.open_characters += characters;
            return;
        }
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let cut = rest.char_indices().nth(MAX_MESSAGE_CHARACTERS).map_or(rest.len(), |(index, _)| index);
            self.messages.push(rest[..cut].to_owned());
            rest = &rest[cut..];
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.messages.push(std::mem::take(&mut self.open));
        }
        self.open_characters = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLLAPSE: SliceRules = SliceRules { suppress_carriage_return: true, flush: false };
    const FLUSH: SliceRules = SliceRules { suppress_carriage_return: true, flush: true };

    #[track_caller]
    fn check(bytes: &[u8], rules: SliceRules, consumed: usize, messages: &[&str]) {
        let slice = slice(bytes, rules);
        assert_eq!((slice.consumed, slice.messages), (consumed, messages.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn whole_lines_go_and_the_rest_waits() {
        check(b"a\nb\nc", COLLAPSE, 4, &["a\nb\n"]);
        check(b"a\nb\nc", FLUSH, 5, &["a\nb\nc"]);
        check(b"", FLUSH, 0, &[]);
    }

    #[test]
    fn a_progress_bar_is_collapsed() {
        check(b"10%\r20%\r30%\n", COLLAPSE, 12, &["30%\n"]);
        check(b"10%\r20%\r\n", COLLAPSE, 9, &["20%\n"]);
        let plain = SliceRules { suppress_carriage_return: false, flush: false };
        check(b"10%\r20%\n", plain, 8, &["10%\n20%\n"]);
    }

    #[test]
    fn an_endless_progress_bar_does_not_pile_up() {
        let mut bytes = vec![];
        while bytes.len() < 100_000 {
            bytes.extend_from_slice(b"\r 10% of it");
        }
        let slice = slice(&bytes, COLLAPSE);
        assert_eq!(slice.messages, Vec::<String>::new());
        assert!(slice.consumed > 99_900 && slice.consumed < bytes.len());
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        check(b"\xff\xfe\n", COLLAPSE, 3, &["\u{fffd}\u{fffd}\n"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut bytes = "é".repeat(40_000).into_bytes();
        bytes.pop();
        let cut = slice(&bytes, COLLAPSE);
        assert_eq!(cut.consumed, bytes.len() - 1, "the unfinished character waits");
        assert!(!cut.messages.concat().contains('\u{fffd}'));
    }

    proptest! {
        /// However the console is cut into reads, no byte of a text without carriage returns is lost, doubled or
        /// moved, and no message is too long.
        #[test]
        fn nothing_is_lost(lines in proptest::collection::vec("[a-zé ]{0,400}", 0..40), read in 1usize..5000) {
            let text = lines.join("\n");
            let (mut offset, mut seen) = (0, String::new());
            let bytes = text.as_bytes();
            let mut end = 0;
            while offset < bytes.len() {
                end = (end + read).min(bytes.len());
                let rules = SliceRules { suppress_carriage_return: true, flush: end == bytes.len() };
                let slice = slice(&bytes[offset..end], rules);
                prop_assert!(slice.messages.iter().all(|m| m.chars().count() <= MAX_MESSAGE_CHARACTERS));
                seen.push_str(&slice.messages.concat());
                offset += slice.consumed;
            }
            prop_assert_eq!(seen, text);
        }
    }
}
