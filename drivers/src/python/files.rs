//! The `requirements.txt` files of a task's code: where they are, and their texts.

use std::io;
use std::path::{Path, PathBuf};

use protocols::words::split;

use super::CodeFolder;

/// The long option of `python` that is followed by a value.
const LONG_WITH_VALUE: &str = "--check-hash-based-pycs";

/// Every `requirements.txt` from the root of the code down to the folder of the script, root first.
pub fn files_of(code: &CodeFolder<'_>) -> Vec<PathBuf> {
    let script = script_of(code);
    let folder = script.as_deref().and_then(Path::parent).filter(|folder| folder.starts_with(code.root));
    let last = folder.unwrap_or(code.working_dir);
    let folders = last.ancestors().take_while(|folder| folder.starts_with(code.root));
    let mut files: Vec<PathBuf> =
        folders.map(|folder| folder.join("requirements.txt")).filter(|file| file.is_file()).collect();
    files.reverse();
    files
}

/// The file that is started: what the entry point names by all of its text, by its first word that is no option of
/// the interpreter, or as a module.
fn script_of(code: &CodeFolder<'_>) -> Option<PathBuf> {
    let entry = code.entry_point.trim();
    let in_folder = |path: PathBuf| if path.is_dir() { path.join("__main__.py") } else { path };
    let file = |name: &str| Some(in_folder(code.working_dir.join(name))).filter(|path| path.is_file());
    if let Some(script) = file(entry).filter(|_| !entry.is_empty()) {
        return Some(script);
    }
    // What cannot be taken apart cannot be started, which is said when it is to be.
    let mut words = split(entry).unwrap_or_default().into_iter();
    while let Some(word) = words.next() {
        let is_option = word.starts_with('-') && word.len() > 1;
        if word == "--" {
            return file(&words.next()?);
        } else if !is_option {
            return file(&word);
        } else if word == LONG_WITH_VALUE {
            words.next();
        } else if word.starts_with("--") {
            continue;
        } else if let Some(at) = word.find(['c', 'm', 'W', 'X']) {
            // Short options may stand together; what follows one with a value is the value.
            let (option, value) = (&word[at..=at], &word[at + 1..]);
            let value = if value.is_empty() { words.next()? } else { value.to_owned() };
            match option {
                "m" => return module(code.working_dir, &value),
                "c" => return None,
                _ => {}
            }
        }
    }
    None
}

/// The file of a module that lies in the folder.
fn module(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name.replace('.', "/"));
    [path.with_extension("py"), path.join("__main__.py")].into_iter().find(|path| path.is_file())
}

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
    use std::fs;

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

    #[test]
    fn files_are_found_from_the_root_down() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["", "src", "src/deep", "src/sub dir", "src/package"] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("requirements.txt"), "").unwrap();
        }
        for name in ["src/deep/train.py", "src/sub dir/run.py", "src/package/__main__.py"] {
            fs::write(root.join(name), "").unwrap();
        }
        let working_dir = root.join("src");
        let check = |entry_point: &str, below: Option<&str>| {
            let found = files_of(&CodeFolder { root, working_dir: &working_dir, entry_point });
            let below = below.map(|below| format!("src/{below}/requirements.txt"));
            let expected = ["requirements.txt", "src/requirements.txt"].map(str::to_owned).into_iter().chain(below);
            assert_eq!(found, expected.map(|name| root.join(name)).collect::<Vec<_>>(), "{entry_point}");
        };
        for entry in [
            "deep/train.py",
            "deep/train.py --lr 1",
            "'deep/train.py' --lr 1",
            "\"deep/train.py\"",
            "deep\\/train.py",
            "-W ignore deep/train.py",
            "-Wignore -u deep/train.py",
            "-uW ignore -X dev -Xutf8 deep/train.py -m package",
            "--check-hash-based-pycs always -O -- deep/train.py",
            "-m deep.train --lr 1",
            "-um deep.train",
            "-mdeep.train",
        ] {
            check(entry, Some("deep"));
        }
        check("'sub dir/run.py' x", Some("sub dir"));
        check("sub dir/run.py", Some("sub dir"));
        check("package", Some("package"));
        check("-m package", Some("package"));
        for entry in ["", "it's", "gone.py", "-m elsewhere.main deep/train.py", "-c 'import x' deep/train.py", "- x"] {
            check(entry, None);
        }
    }
}
