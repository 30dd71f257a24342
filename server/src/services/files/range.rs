//! Which part of a file a request wants.

/// What the `Range` header of a request means for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no header, or one that is not understood.
    Whole,
    /// One part.
    Part(Part),
    /// Several parts in one answer.
    Parts(Vec<Part>),
    /// Nothing that the file has.
    Nothing,
}

/// `length` bytes from `start`; never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Part {
    /// As the answer names it.
    pub(super) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + self.length - 1)
    }
}

/// Parts in one answer at most: more is no use, but work.
const MAX_PARTS: usize = 16;

/// Reads a `Range` header for a file of `size` bytes.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(ranges) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    let mut parts = Vec::new();
    for range in ranges.split(',') {
        match part(range, size) {
            Err(()) => return Wanted::Whole,
            Ok(None) => {}
            Ok(Some(part)) => parts.push(part),
        }
        if parts.len() > MAX_PARTS {
            return Wanted::Whole;
        }
    }
    // Parts that lie over each other could be more than the file is.
    let asked = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.length));
    match parts[..] {
        [] => Wanted::Nothing,
        [part] => Wanted::Part(part),
        _ if asked > size => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// One range: `Err` when it is none, `None` when the file has nothing of it.
fn part(range: &str, size: u64) -> Result<Option<Part>, ()> {
    let (start, end) = match split(range).ok_or(())? {
        (Some(first), Some(last)) if first > last => return Err(()),
        (Some(first), last) => (first, last.map_or(size, |last| last.saturating_add(1)).min(size)),
        (None, Some(suffix)) => (size.saturating_sub(suffix), size),
        (None, None) => return Err(()),
    };
    Ok((start < end).then(|| Part { start, length: end - start }))
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
    fn check(header: &str, size: u64, expected: &Wanted) {
        assert_eq!(&wanted(Some(header), size), expected, "{header} of {size}");
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |start, length| Wanted::Part(Part { start, length });
        check("bytes=0-0", 10, &part(0, 1));
        check("bytes=2-5", 10, &part(2, 4));
        check("bytes=2-", 10, &part(2, 8));
        check("bytes=-3", 10, &part(7, 3));
        check("bytes=-30", 10, &part(0, 10));
        check("bytes=8-99999999999999999999999", 10, &part(8, 2));
        for beyond in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            check(beyond, 10, &Wanted::Nothing);
        }
        check("bytes=0-", 0, &Wanted::Nothing);
        check("bytes=0-1, 20-30", 10, &part(0, 2));
        let two = vec![Part { start: 0, length: 2 }, Part { start: 7, length: 3 }];
        check("bytes=0-1,-3", 10, &Wanted::Parts(two));
        let many = format!("bytes={}0-0", "0-0,".repeat(20));
        check(&many, 1000, &Wanted::Whole);
        for other in ["bytes=5-2", "bytes=a-b", "bytes=0-1,x", "bytes=0-,0-", "lines=1-2", "bytes=-", "bytes"] {
            check(other, 10, &Wanted::Whole);
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }
}
