//! What an image has, found by looking at its files and by running nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::condas::condas;
use crate::find::{find, folders, is_executable};
use crate::vocabulary::{Libc, LibcFlavour, PasswdEntry, Probe, SystemText};

/// Searched after the `PATH`: `/opt/*/bin`, where conda lives, comes on top.
const USUAL_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin"];
/// Where programs are searched that are the system's own.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PACKAGE_MANAGERS: [&str; 6] = ["apt-get", "apk", "dnf", "yum", "zypper", "pacman"];
/// Where C libraries lie.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// No C library is larger.
const MAX_LIBRARY_BYTES: u64 = 32 * 1024 * 1024;

/// Looks at everything; interpreters are searched on `path` first.
pub(crate) fn probe(path: &OsStr) -> Probe {
    let mut shells = find(OsStr::new("/bin/sh"), OsStr::new(""));
    shells.extend(find(OsStr::new("bash"), OsStr::new(SYSTEM_PATH)).into_iter().take(1));
    let release = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    Probe {
        shells,
        pythons: pythons(path),
        condas: condas(Path::new("/"), path, |name| std::env::var_os(name)),
        libc: libc(),
        user: passwd_entry(rustix::process::geteuid().as_raw()),
        package_managers: PACKAGE_MANAGERS
            .iter()
            .filter(|name| !find(OsStr::new(name), OsStr::new(SYSTEM_PATH)).is_empty())
            .map(|name| (*name).to_owned())
            .collect(),
        system: release_value(&release, "ID"),
        system_version: release_value(&release, "VERSION_ID"),
        is_read_only: rustix::fs::statvfs("/").is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY)),
        has_proc: Path::new("/proc/self/stat").exists(),
    }
}

fn pythons(path: &OsStr) -> Vec<SystemText> {
    let mut opt: Vec<PathBuf> =
        std::fs::read_dir("/opt").into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    opt.sort();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for folder in folders(path).chain(USUAL_FOLDERS.iter().map(PathBuf::from)).chain(opt) {
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.retain(|name| name.to_str().is_some_and(is_python));
        // `python3` before `python3.11` before `python`: what an image means by Python 3 comes first.
        names.sort_by_key(|name| (name == "python", name.clone()));
        let candidates = names.into_iter().map(|name| folder.join(name));
        found.extend(candidates.filter(|path| is_executable(path) && seen.insert(path.clone())));
    }
    found.into_iter().map(SystemText::from).collect()
}

fn is_python(name: &str) -> bool {
    match name.strip_prefix("python") {
        Some("" | "3") => true,
        Some(version) => version
            .strip_prefix("3.")
            .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())),
        None => false,
    }
}

fn libc() -> Option<Libc> {
    // A GNU image may have musl installed beside its own library, and Alpine a shim for the loader of GNU: only the
    // library itself decides.
    let glibc = LIBRARY_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join("libc.so.6"))
        .find_map(|library| version_after(&library, b"GNU C Library ", b"release version "));
    if let Some(version) = glibc {
        return Some(Libc { flavour: LibcFlavour::Glibc, version: Some(version) });
    }
    let loader =
        LIBRARY_FOLDERS.iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path()).find(
            |path| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                name.starts_with("ld-musl-") && name.ends_with(".so.1")
            },
        )?;
    Some(Libc { flavour: LibcFlavour::Musl, version: musl_version(&contents(&loader)?) })
}

fn contents(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    BufReader::new(File::open(path).ok()?).take(MAX_LIBRARY_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The version in `GNU C Library (..) stable release version 2.36.`
fn version_after(library: &Path, name: &[u8], before: &[u8]) -> Option<String> {
    let bytes = contents(library)?;
    let at = position(&bytes, name)?;
    let rest = bytes.get(at..)?.get(..256)?;
    let rest = &rest[position(rest, before)? + before.len()..];
    let text: String =
        rest.iter().map(|byte| char::from(*byte)).take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = text.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// musl has its version as a text of its own, and no other text has that form.
fn musl_version(bytes: &[u8]) -> Option<String> {
    let texts = bytes.split(|byte| *byte == 0).filter(|text| (5..=10).contains(&text.len()) && text.starts_with(b"1."));
    texts.filter_map(|text| std::str::from_utf8(text).ok()).find_map(|text| {
        let is_version = text.split('.').count() == 3
            && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        is_version.then(|| text.to_owned())
    })
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn passwd_entry(uid: u32) -> Option<PasswdEntry> {
    let text = std::fs::read("/etc/passwd").ok()?;
    passwd_entry_in(&String::from_utf8_lossy(&text), uid)
}

fn passwd_entry_in(text: &str, uid: u32) -> Option<PasswdEntry> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_it = fields.get(2)?.parse() == Ok(uid);
        is_it.then(|| Some(PasswdEntry { name: (*fields.first()?).to_owned(), home: (*fields.get(5)?).into() }))?
    })
}

fn release_value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(|quote| matches!(quote, '"' | '\'')).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pythons_are_pythons() {
        for name in ["python", "python3", "python3.9", "python3.13"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["python2", "python3-config", "python3.", "python3.11-config", "python3.13t", "ipython3"] {
            assert!(!is_python(name), "{name}");
        }
    }

    #[test]
    fn a_release_says_who_it_is() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\nID_LIKE=x\n";
        assert_eq!(release_value(text, "ID").as_deref(), Some("debian"));
        assert_eq!(release_value(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(release_value("", "ID"), None);
    }

    #[test]
    fn a_user_has_a_line() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        let entry = passwd_entry_in(text, 1000).unwrap();
        assert_eq!((entry.name.as_str(), entry.home), ("me", "/home/me".into()));
        assert_eq!(passwd_entry_in(text, 7), None);
    }

    #[test]
    fn musl_says_its_version_once() {
        assert_eq!(musl_version(b"x\x001.2.5\x00Version %s\n\0").as_deref(), Some("1.2.5"));
        assert_eq!(musl_version(b"\x001.2\x001..2\x00"), None);
    }

    #[test]
    fn this_machine_has_a_libc_and_a_python() {
        let probe = probe(OsStr::new("/usr/bin"));
        let libc = probe.libc.unwrap();
        assert!(libc.version.is_some_and(|version| version.contains('.')));
        assert!(probe.has_proc);
        assert!(probe.shells.contains(&"/bin/sh".into()), "{:?}", probe.shells);
    }
}
