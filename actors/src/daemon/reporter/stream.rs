//! The console files of a run's attempts as one stream with one offset.

use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;

/// The files, oldest attempt first. Only the last may still grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConsoleStream {
    files: Vec<PathBuf>,
}

impl ConsoleStream {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// Bytes in all files together. A file that is not there counts as empty.
    pub(crate) fn length(&self) -> u64 {
        self.files.iter().map(length_of).sum()
    }

    /// Up to `most` bytes from `offset` on, never across the border of two files, and whether they reach the end of
    /// a file that does not grow any more.
    pub(crate) fn read(&self, offset: u64, most: usize) -> io::Result<Piece> {
        let mut start = 0;
        for (index, path) in self.files.iter().enumerate() {
            let length = length_of(path);
            if offset < start + length {
                let mut file = std::fs::File::open(path)?;
                file.seek(io::SeekFrom::Start(offset - start))?;
                let mut bytes = Vec::new();
                file.take(most as u64).read_to_end(&mut bytes)?;
                let complete = index + 1 < self.files.len() && offset + bytes.len() as u64 >= start + length;
                return Ok(Piece { bytes, complete });
            }
            start += length;
        }
        Ok(Piece::default())
    }
}

fn length_of(path: &PathBuf) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// A piece of the console.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// It ends where its file ends, and a later attempt's file follows.
    pub(crate) complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_one_stream() {
        let directory = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["a", "missing", "b"].iter().map(|name| directory.path().join(name)).collect();
        std::fs::write(&paths[0], "12345").unwrap();
        std::fs::write(&paths[2], "678").unwrap();
        let stream = ConsoleStream::new(paths);
        assert_eq!(stream.length(), 8);
        let piece = stream.read(3, 100).unwrap();
        assert_eq!((piece.bytes.as_slice(), piece.complete), (&b"45"[..], true));
        let piece = stream.read(5, 2).unwrap();
        assert_eq!((piece.bytes.as_slice(), piece.complete), (&b"67"[..], false));
        assert!(stream.read(8, 10).unwrap().bytes.is_empty());
    }
}
