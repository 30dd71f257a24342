//! Which part of a file a request wants.

/// What the `Range` header of a request means for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no header, one that is not understood, or one for several parts.
    Whole,
    /// `length` bytes from `start`.
    Part { start: u64, length: u64 },
    /// Nothing that the file has.
    Nothing,
}

/// Reads a `Range` header for a file of `size` bytes.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header.and_then(|header| header.trim().strip_prefix("bytes=")).and_then(split) else {
        return Wanted::Whole;
    };
    let (start, end) = match (first, last) {
        (Some(first), Some(last)) if first > last => return Wanted::Whole,
        (Some(first), last) => (first, last.map_or(size, |last| last.saturating_add(1)).min(size)),
        (None, Some(suffix)) => (size.saturating_sub(suffix), size),
        (None, None) => return Wanted::Whole,
    };
    if start >= end { Wanted::Nothing } else { Wanted::Part { start, length: end - start } }
}

fn split(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // What is too large for the type is larger than every file.
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, size: u64, expected: Wanted) {
        assert_eq!(wanted(Some(header), size), expected, "{header} of {size}");
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |start, length| Wanted::Part { start, length };
        check("bytes=0-0", 10, part(0, 1));
        check("bytes=2-5", 10, part(2, 4));
        check("bytes=2-", 10, part(2, 8));
        check("bytes=-3", 10, part(7, 3));
        check("bytes=-30", 10, part(0, 10));
        check("bytes=8-99999999999999999999999", 10, part(8, 2));
        for beyond in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            check(beyond, 10, Wanted::Nothing);
        }
        check("bytes=0-", 0, Wanted::Nothing);
        for other in ["bytes=5-2", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes"] {
            check(other, 10, Wanted::Whole);
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }
}
