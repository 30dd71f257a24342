//! The texts of requirement files.

use std::io;
use std::path::Path;

/// The text of a file of requirements in the encoding that its first bytes tell, as pip reads it: PowerShell writes
/// UTF-16.
pub fn requirements_text(path: &Path) -> io::Result<String> {
    std::fs::read(path).map(|bytes| decoded(&bytes))
}

fn decoded(bytes: &[u8]) -> String {
    let units = |bytes: &[u8], of: fn([u8; 2]) -> u16| -> String {
        let units = bytes.chunks(2).map(|pair| of([pair[0], pair.get(1).copied().unwrap_or_default()]));
        char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    let letters = |bytes: &[u8], of: fn([u8; 4]) -> u32| -> String {
        let words = bytes.chunks(4).map(|word| <[u8; 4]>::try_from(word).ok());
        words
            .map(|word| word.and_then(|word| char::from_u32(of(word))).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => String::from_utf8_lossy(text).into_owned(),
        // Before UTF-16, whose mark is the beginning of this one.
        [0xff, 0xfe, 0, 0, text @ ..] => letters(text, u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, text @ ..] => letters(text, u32::from_be_bytes),
        [0xff, 0xfe, text @ ..] => units(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => units(text, u16::from_be_bytes),
        text => String::from_utf8_lossy(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_their_first_bytes() {
        let text = "six==1.17.0 # für 𝄞\r\n";
        let utf16 = |of: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(of).collect::<Vec<_>>();
        let utf32 = |of: fn(u32) -> [u8; 4]| text.chars().flat_map(|letter| of(letter.into())).collect::<Vec<_>>();
        for (mark, rest) in [
            (&[][..], text.as_bytes().to_vec()),
            (&[0xef, 0xbb, 0xbf], text.as_bytes().to_vec()),
            (&[0xff, 0xfe], utf16(u16::to_le_bytes)),
            (&[0xfe, 0xff], utf16(u16::to_be_bytes)),
            (&[0xff, 0xfe, 0, 0], utf32(u32::to_le_bytes)),
            (&[0, 0, 0xfe, 0xff], utf32(u32::to_be_bytes)),
        ] {
            assert_eq!(decoded(&[mark, &rest].concat()), text, "{mark:?}");
        }
        assert_eq!(decoded(&[0xff, 0xfe, b'a', 0, b'b']), "ab");
        assert_eq!(decoded(b"\xff\xfe\0\0a"), "\u{fffd}");
        assert_eq!(decoded(b"a\xff"), "a\u{fffd}");
    }
}
