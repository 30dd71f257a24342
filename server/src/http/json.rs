//! JSON as Python writes it.

use serde_json::Value;

/// Reads a JSON text. What Python writes and the standard does not know is understood as well: `NaN` and `Infinity` are
/// null, half of a surrogate pair is the replacement character.
pub(super) fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).or_else(|error| match standard(bytes) {
        Some(standard) => serde_json::from_slice(&standard),
        None => Err(error),
    })
}

/// The text in standard JSON; `None` when there is nothing to change.
fn standard(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut in_text = false;
    let mut changed = false;
    while let Some((first, after)) = rest.split_first() {
        let taken = if in_text {
            match (first, after) {
                (b'\\', [b'u', ..]) => {
                    let (taken, is_half) = surrogate(rest);
                    if is_half {
                        text.extend_from_slice(b"\\ufffd");
                        rest = &rest[taken..];
                        changed = true;
                        continue;
                    }
                    taken
                }
                (b'\\', [_, ..]) => 2,
                (b'"', _) => {
                    in_text = false;
                    1
                }
                _ => 1,
            }
        } else {
            let foreign = [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|word| rest.starts_with(word));
            if let Some(word) = foreign {
                text.extend_from_slice(b"null");
                rest = &rest[word.len()..];
                changed = true;
                continue;
            }
            in_text = *first == b'"';
            1
        };
        text.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    changed.then_some(text)
}

/// Looks at an escape `\uXXXX`: how many bytes belong together, and whether they are half of a pair.
fn surrogate(escape: &[u8]) -> (usize, bool) {
    let unit = |from: usize| -> Option<u16> {
        let escape = escape.get(from..from + 6)?;
        let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    match (unit(0), unit(6)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, false),
        (Some(0xd800..=0xdfff), _) => (6, true),
        // Not hexadecimal: left for the parser to refuse.
        (Some(_) | None, _) => (2, false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        let text =
            br#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" Infinity", "d": "x\udc80y\ud83d\ude00\\ud800"}"#;
        let expected = json!({"a": null, "b": [null, null], "c": "NaN \" Infinity", "d": "x\u{fffd}y😀\\ud800"});
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read(b"\xef\xbb\xbf{}").unwrap(), json!({}));
        assert_eq!(read(br#"{"a": 1, "a": 2}"#).unwrap(), json!({"a": 2}), "the last one counts");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for bad in [&b"{"[..], b"\xff", b"{\"a\": nan}", b"NaNN", b"\"\\u12\"", b"\"\\ud8", b"1e999", deep.as_bytes()] {
            assert!(read(bad).is_err());
        }
    }
}
