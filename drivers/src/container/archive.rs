//! A folder of this machine on its way into a container that is to become an image: a tar archive in which it has another
//! name. What its texts say of its old name (scripts that name their interpreter, for one) says the new one there.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const BLOCK: usize = 512;
/// A name that is longer has an entry of its own before it.
const LONGEST_NAME: usize = 100;
/// A larger file is no text.
const LARGEST_TEXT: u64 = 1 << 20;

/// Kinds of entries.
const FILE: u8 = b'0';
const LINK: u8 = b'2';
const FOLDER: u8 = b'5';
const LONG_NAME: u8 = b'L';
const LONG_LINK: u8 = b'K';

/// A file or a folder under the name that it gets.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// Where it is.
    pub from: &'a Path,
    /// Where it is to be: an absolute path.
    pub to: &'a Path,
    /// Whose it is to be.
    pub owner: (u32, u32),
}

/// Writes an archive of all of these, which is to be unpacked at the root.
pub(super) fn write(all: &[Packed<'_>], out: &mut dyn Write) -> io::Result<()> {
    for packed in all {
        parents(packed.to, out)?;
        add(packed, packed.from, out)?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.flush()
}

/// The content of the first file in an archive.
pub(super) fn first_file(archive: &[u8]) -> Option<&[u8]> {
    let mut rest = archive;
    loop {
        let header = rest.get(..BLOCK).filter(|header| header[0] != 0)?;
        let digits = std::str::from_utf8(&header[124..136]).ok()?;
        let size = usize::from_str_radix(digits.trim_matches([' ', '\0']), 8).ok()?;
        if matches!(header[156], FILE | 0) {
            return rest.get(BLOCK..BLOCK.checked_add(size)?);
        }
        rest = rest.get(BLOCK.checked_add(size.checked_next_multiple_of(BLOCK)?)?..)?;
    }
}

fn parents(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
    above.reverse();
    above.into_iter().try_for_each(|folder| entry(out, &Entry { mode: 0o755, kind: FOLDER, ..Entry::at(folder) }))
}

fn add(packed: &Packed<'_>, path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    let inside = path.strip_prefix(packed.from).unwrap_or(path);
    let name = if inside.as_os_str().is_empty() { packed.to.to_owned() } else { packed.to.join(inside) };
    let (owner, modified) = (packed.owner, metadata.mtime());
    let base = Entry { owner, modified, mode: mode(&metadata), ..Entry::at(&name) };
    if metadata.is_dir() {
        entry(out, &Entry { kind: FOLDER, ..base })?;
        let mut below: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        below.sort_by_key(fs::DirEntry::file_name);
        return below.iter().try_for_each(|below| add(packed, &below.path(), out));
    }
    if metadata.is_symlink() {
        let target = renamed(fs::read_link(path)?.as_os_str().as_bytes(), packed);
        return entry(out, &Entry { kind: LINK, link: target, ..base });
    }
    if !metadata.is_file() {
        return Ok(()); // A socket or a pipe is nothing for an image.
    }
    if metadata.len() <= LARGEST_TEXT {
        let bytes = fs::read(path)?;
        let bytes = if bytes.contains(&0) { bytes } else { renamed(&bytes, packed) };
        entry(out, &Entry { size: bytes.len() as u64, ..base })?;
        out.write_all(&bytes)?;
        return padding(out, bytes.len() as u64);
    }
    let size = metadata.len();
    entry(out, &Entry { size, ..base })?;
    let copied = io::copy(&mut fs::File::open(path)?.take(size), out)?;
    if copied < size {
        return Err(io::Error::other(format!("{} has become shorter meanwhile", path.display())));
    }
    padding(out, size)
}

/// What the owner may, everybody may who has no need to write: the user of a container is not known here.
fn mode(metadata: &Metadata) -> u32 {
    let of_owner = metadata.mode() & 0o700;
    let readable = of_owner & 0o500;
    of_owner | readable >> 3 | readable >> 6
}

/// The bytes with the new name wherever they have the old one.
fn renamed(bytes: &[u8], packed: &Packed<'_>) -> Vec<u8> {
    let (old, new) = (packed.from.as_os_str().as_bytes(), packed.to.as_os_str().as_bytes());
    let mut result = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    result.extend_from_slice(rest);
    result
}

struct Entry {
    name: Vec<u8>,
    kind: u8,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: i64,
    link: Vec<u8>,
}

impl Entry {
    fn at(path: &Path) -> Self {
        let name = path.as_os_str().as_bytes();
        let name = name.strip_prefix(b"/").unwrap_or(name).to_vec();
        Self { name, kind: FILE, mode: 0o644, owner: (0, 0), size: 0, modified: 0, link: Vec::new() }
    }
}

fn entry(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    for (text, kind) in [(&entry.name, LONG_NAME), (&entry.link, LONG_LINK)] {
        if text.len() > LONGEST_NAME {
            let long = OsString::from_vec(b"././@LongLink".to_vec());
            let size = text.len() as u64 + 1;
            out.write_all(&header(&Entry { kind, size, ..Entry::at(Path::new(&long)) }))?;
            out.write_all(text)?;
            out.write_all(&[0])?;
            padding(out, size)?;
        }
    }
    out.write_all(&header(entry))
}

fn header(entry: &Entry) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    put(&mut header[..100], &entry.name);
    octal(&mut header[100..108], u64::from(entry.mode));
    octal(&mut header[108..116], u64::from(entry.owner.0));
    octal(&mut header[116..124], u64::from(entry.owner.1));
    octal(&mut header[124..136], entry.size);
    octal(&mut header[136..148], u64::try_from(entry.modified).unwrap_or(0));
    header[148..156].fill(b' ');
    header[156] = entry.kind;
    put(&mut header[157..257], &entry.link);
    put(&mut header[257..265], b"ustar\x0000");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header[148..155], sum);
    header
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Octal digits and a NUL; a number that is too large for them in binary, as GNU tar writes it.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let text = format!("{number:0digits$o}");
    if text.len() == digits {
        put(field, text.as_bytes());
        return;
    }
    field.fill(0);
    field[0] = 0x80;
    let bytes = number.to_be_bytes();
    let start = field.len() - bytes.len().min(field.len() - 1);
    let from = bytes.len() - (field.len() - start);
    field[start..].copy_from_slice(&bytes[from..]);
}

fn padding(out: &mut dyn Write, size: u64) -> io::Result<()> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over == 0 { Ok(()) } else { out.write_all(&[0; BLOCK][over..]) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_file_is_found_behind_what_is_said_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwd");
        fs::write(&file, "root:x:0:0").unwrap();
        let to = Path::new("/").join("a".repeat(120));
        let mut archive = Vec::new();
        write(&[Packed { from: &file, to: &to, owner: (0, 0) }], &mut archive).unwrap();
        assert_eq!(first_file(&archive), Some(b"root:x:0:0".as_slice()));
        assert_eq!(first_file(&archive[..archive.len() - 3 * BLOCK]), None, "it is not whole");
        assert_eq!(first_file(&[0; 2 * BLOCK]), None);
    }

    /// As another program reads it.
    #[test]
    fn tar_unpacks_it_and_the_old_name_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (from, out) = (folder.path().join("from"), folder.path().join("out"));
        let deep = from.join("a".repeat(90)).join("b".repeat(90));
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(&out).unwrap();
        let python = from.join("bin/python");
        fs::write(deep.join("tool"), format!("#!{}\nprint(1)\n", python.display())).unwrap();
        fs::set_permissions(deep.join("tool"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(from.join("binary"), [b"\0", from.as_os_str().as_bytes()].concat()).unwrap();
        fs::write(from.join("large"), vec![b'x'; LARGEST_TEXT as usize + 1]).unwrap();
        std::os::unix::fs::symlink(deep.join("tool"), from.join("link")).unwrap();
        let packed = Packed { from: &from, to: Path::new("/new/place"), owner: (0, 0) };
        let mut archive = Vec::new();
        write(&[packed], &mut archive).unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        let mut tar = Command::new("tar").args(["-x", "-C"]).arg(&out).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&archive).unwrap();
        assert!(tar.wait().unwrap().success());
        let inside = out.join("new/place");
        let tool = inside.join("a".repeat(90)).join("b".repeat(90)).join("tool");
        assert_eq!(fs::read_to_string(&tool).unwrap(), "#!/new/place/bin/python\nprint(1)\n");
        assert_eq!(tool.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        let link = fs::read_link(inside.join("link")).unwrap();
        assert_eq!(link, Path::new("/new/place").join("a".repeat(90)).join("b".repeat(90)).join("tool"));
        assert!(fs::read(inside.join("binary")).unwrap().ends_with(b"/from"), "what is no text stays as it is");
        assert_eq!(inside.join("large").metadata().unwrap().len(), LARGEST_TEXT + 1);
    }
}
