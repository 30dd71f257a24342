//! Whether environments are what was installed: every file that a package lists is there, with the same content.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::folder::walk;
use super::record;
use super::{FORMAT, Lease, READY_FILE, Ready, Store};
use crate::python::error::PythonError;

/// Something that is not as it was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The environment.
    pub environment: String,
    /// What is wrong.
    pub what: String,
    /// The file, where it is one that has been changed.
    pub file: Option<PathBuf>,
}

impl Store {
    /// Looks at every file of every environment that counts. Remains of broken builds do not: nobody uses them.
    pub fn verify(&self) -> Result<(usize, Vec<Damage>), PythonError> {
        let (mut count, mut damages) = (0, Vec::new());
        for folder in record::entries(&self.built())? {
            // Nothing that is looked at is removed meanwhile.
            let Some(_lease) = folder.join(READY_FILE).exists().then(|| Lease::take(&folder)).transpose()?.flatten()
            else {
                continue;
            };
            count += 1;
            let environment = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let found = damages_of(&folder);
            damages.extend(found.into_iter().map(|(what, file)| Damage {
                environment: environment.clone(),
                what,
                file,
            }));
        }
        Ok((count, damages))
    }
}

/// What is wrong, each with the file that has been changed.
fn damages_of(folder: &Path) -> Vec<(String, Option<PathBuf>)> {
    let Some(ready) = record::read::<Ready>(&folder.join(READY_FILE)) else {
        return vec![(format!("{READY_FILE} cannot be read"), None)];
    };
    let mut damages = Vec::new();
    if ready.format == FORMAT && !ready.has_program(folder) {
        damages.push((format!("its interpreter {} is gone", ready.program.display()), None));
    }
    // conda changes what it has unpacked, and keeps lists of its own.
    if folder.join("venv/conda-meta").is_dir() {
        return damages;
    }
    let mut lists = Vec::new();
    walk(folder, &mut |path, metadata| {
        if metadata.is_file() && path.file_name().is_some_and(|name| name == "RECORD") && is_list(path) {
            lists.push(path.to_owned());
        }
    });
    for list in lists {
        match fs::read_to_string(&list) {
            Ok(text) => damages.extend(text.lines().filter_map(|line| damage_of(&list, line))),
            Err(error) => damages.push((format!("{}: {error}", list.display()), None)),
        }
    }
    damages
}

/// Whether this is the list of a package that was installed, not of one that another package has inside.
fn is_list(path: &Path) -> bool {
    let mut folders = path.ancestors().skip(1);
    let is_package = folders.next().and_then(Path::extension).is_some_and(|extension| extension == "dist-info");
    is_package && folders.next().and_then(Path::file_name).is_some_and(|name| name == "site-packages")
}

/// One line of a package's list: `path,sha256=HASH,size`; the path may be quoted.
fn damage_of(list: &Path, line: &str) -> Option<(String, Option<PathBuf>)> {
    let (rest, _size) = line.rsplit_once(',')?;
    let (path, hash) = rest.rsplit_once(',')?;
    let path = match path.strip_prefix('"').and_then(|path| path.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => path.to_owned(),
    };
    // Byte code has none; it says itself what it was made of.
    let expected = hash.strip_prefix("sha256=")?;
    let file = installed_at(list, &path);
    match hash_of(&file) {
        Ok(found) if found == expected => None,
        Ok(_) => Some((format!("{} has been changed", file.display()), Some(file))),
        Err(error) => Some((format!("{}: {error}", file.display()), None)),
    }
}

fn installed_at(list: &Path, path: &str) -> PathBuf {
    list.ancestors().nth(2).unwrap_or(Path::new("/")).join(path)
}

fn hash_of(file: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(file)?, &mut HashWriter(&mut hasher))?;
    Ok(URL_SAFE_NO_PAD.encode(hasher.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
