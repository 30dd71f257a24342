//! From the path that a client names to a place below the root, and nowhere else.

use std::io;
use std::path::{Path, PathBuf};

use super::errors::FileError;

/// Bytes of one name at most; what common file systems allow.
const NAME_BYTES: usize = 255;

/// Bytes of a whole path at most, so that it fits with the root in front of it.
const PATH_BYTES: usize = 3_000;

/// A path below the root: relative, without `..`, without empty names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath(String);

impl FilePath {
    /// Takes a path as it is, as it comes in an upload.
    pub(super) fn plain(text: &str) -> Result<Self, FileError> {
        let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let refuse = |why| Err(FileError::Path(why));
        if names.is_empty() {
            return refuse("it is empty");
        }
        if names.contains(&"..") {
            return refuse("it leads out of the folder of the files");
        }
        if text.contains('\0') {
            return refuse("it holds a NUL");
        }
        if names.iter().any(|name| name.len() > NAME_BYTES) {
            return refuse("a name in it is too long");
        }
        let path = names.join("/");
        if path.len() > PATH_BYTES {
            return refuse("it is too long");
        }
        Ok(Self(path))
    }

    /// Takes a percent-encoded path, as it comes in a URL.
    pub(super) fn encoded(text: &str) -> Result<Self, FileError> {
        Self::plain(&decode(text).ok_or(FileError::Path("it is not percent-encoded UTF-8"))?)
    }

    /// As clients see it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name.
    pub(super) fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The place of it, which need not exist. No client can make a symbolic link; one that was put into the tree by
    /// hand is not followed.
    pub(super) fn below(&self, root: &Path) -> Result<PathBuf, FileError> {
        let mut place = root.to_owned();
        for name in self.0.split('/') {
            place.push(name);
            match place.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => return Err(FileError::Path("it leads through a link")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(place)
    }
}

/// Decodes `%41`. `None` for a broken code, or when the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_lose_what_says_nothing() {
        for (text, path) in [
            ("/Trial/Sub/train a.0f/artifacts/x.pkl", "Trial/Sub/train a.0f/artifacts/x.pkl"),
            ("a//./b/", "a/b"),
            ("...", "..."),
            ("a..b/c", "a..b/c"),
            ("ünï/código\n", "ünï/código\n"),
            ("C:\\x", "C:\\x"),
        ] {
            assert_eq!(FilePath::plain(text).unwrap().as_str(), path);
        }
        assert_eq!(FilePath::encoded("/train%20a/100%25").unwrap().as_str(), "train a/100%");
    }

    #[test]
    fn no_path_leads_out_of_the_root() {
        let long = "x".repeat(256);
        let deep = "dir/".repeat(1000);
        for text in ["", "/", ".", "..", "../x", "/../x", "a/../../x", "a/..", "nul\0byte", &long, &deep] {
            assert!(matches!(FilePath::plain(text), Err(FileError::Path(_))), "{text:?}");
        }
        for text in ["/%2e%2e/x", "/a/%2E%2e%2f%2E./x", "/%00", "/%ff", "/%4", "/%zz"] {
            assert!(matches!(FilePath::encoded(text), Err(FileError::Path(_))), "{text:?}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(directory.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("file")).unwrap();
        for text in ["out/x", "file", "out"] {
            let place = FilePath::plain(text).unwrap().below(&root);
            assert!(matches!(place, Err(FileError::Path(_))), "{text}: {place:?}");
        }
        assert_eq!(FilePath::plain("new/x").unwrap().below(&root).unwrap(), root.join("new/x"));
    }
}
