//! The programs that make environments of conda, and which of them does it.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use protocols::container::init::LibcFlavour;
use sha2::{Digest, Sha256};

use crate::command::{CommandRunner, ImageSite};
use crate::python::error::PythonError;

/// Programs that make environments, the quickest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Micromamba,
    Mamba,
    Conda,
}

impl Tool {
    const ALL: [Self; 3] = [Self::Micromamba, Self::Mamba, Self::Conda];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Micromamba => "micromamba",
            Self::Mamba => "mamba",
            Self::Conda => "conda",
        }
    }

    /// What makes an environment of a file.
    pub(super) fn create_of_file(self) -> &'static [&'static str] {
        match self {
            Self::Micromamba => &["create"],
            Self::Mamba | Self::Conda => &["env", "create"],
        }
    }
}

/// The one that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) tool: Tool,
    /// Where it is. Children find it there, also in a container.
    pub(super) program: PathBuf,
    /// Whose it is, for people.
    pub(super) origin: String,
}

/// The first that is there. An image that has none gets the machine's micromamba, where that runs in every image.
pub(super) fn choose(commands: &dyn CommandRunner, cache_dir: &Path) -> Result<Chosen, PythonError> {
    let found = Tool::ALL.into_iter().find_map(|tool| Some((tool, commands.find(tool.name())?)));
    let Some(image) = commands.image() else {
        let (tool, program) = found.ok_or(PythonError::NoConda)?;
        return Ok(Chosen { tool, origin: program.display().to_string(), program });
    };
    if let Some((tool, program)) = found {
        return Ok(Chosen { tool, origin: format!("{} of the image", program.display()), program });
    }
    let none = |why: String| PythonError::NoCondaInImage { image: image.name.to_owned(), why };
    let own = of_machine(&image).map_err(none)?;
    let program = brought(&own, cache_dir)?;
    Ok(Chosen { tool: Tool::Micromamba, origin: format!("{} of the machine", own.display()), program })
}

/// The machine's micromamba, or why it does not help.
fn of_machine(image: &ImageSite<'_>) -> Result<PathBuf, String> {
    let name = Tool::Micromamba.name();
    let found = image.here.find(name).ok_or("nor a micromamba on the PATH of this machine, which could be lent")?;
    if !is_static(&found).unwrap_or(false) {
        return Err(format!("and {} of this machine, which is not linked statically, cannot be lent", found.display()));
    }
    match image.libc {
        Some(LibcFlavour::Glibc) => Ok(found),
        Some(LibcFlavour::Musl) | None => Err("and it has no glibc, without which no package of conda runs".to_owned()),
    }
}

/// Whether a program needs no loader, and with it nothing of an image.
fn is_static(program: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    fs::File::open(program)?.take(64 * 1024).read_to_end(&mut start)?;
    Ok(has_no_loader(&start).unwrap_or(false))
}

/// By the program headers of a 64-bit ELF file of this machine; `None` of everything else.
fn has_no_loader(bytes: &[u8]) -> Option<bool> {
    /// The header that names a loader (`PT_INTERP`).
    const LOADER: u32 = 3;
    let short = |at: usize| Some(usize::from(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    if bytes.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = usize::try_from(u64::from_ne_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
    let (size, count) = (short(54)?, short(56)?);
    let kind = |number: usize| {
        let at = table.checked_add(number * size)?;
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let kinds: Vec<u32> = (0..count).map(kind).collect::<Option<_>>()?;
    Some(!kinds.is_empty() && !kinds.contains(&LOADER))
}

/// A copy in the caches, which containers see.
fn brought(program: &Path, cache_dir: &Path) -> Result<PathBuf, PythonError> {
    let metadata = program.metadata().map_err(PythonError::io("read", program))?;
    let identity = format!("{} {} {}", program.display(), metadata.len(), metadata.mtime_nsec() + metadata.mtime());
    let folder = cache_dir.join("tools").join(format!("micromamba-{}", hex::encode(&Sha256::digest(identity)[..8])));
    let target = folder.join(Tool::Micromamba.name());
    if !target.exists() {
        let failed = || PythonError::io("copy micromamba to", &folder);
        fs::create_dir_all(&folder).map_err(failed())?;
        let new = tempfile::Builder::new().prefix(".new.").tempfile_in(&folder).map_err(failed())?;
        // Its mode goes with it.
        fs::copy(program, new.path()).map_err(failed())?;
        new.persist(&target).map_err(|error| failed()(error.error))?;
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use super::*;
    use crate::command::SystemCommands;
    use crate::python::in_image::InImage;

    /// A program that is linked statically.
    fn init() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        fs::read(crate::container::init_program(folder.path()).unwrap()).unwrap()
    }

    #[test]
    fn a_loader_is_found() {
        // Whatever runs this test is linked with the C library of the machine.
        assert!(!is_static(&std::env::current_exe().unwrap()).unwrap());
        let init = init();
        assert_eq!(has_no_loader(&init), Some(true));
        assert_eq!(has_no_loader(&init[..60]), None);
        assert_eq!(has_no_loader(b"#!/bin/sh\n"), None);
    }

    /// A machine whose `PATH` has a micromamba.
    struct Site {
        machine: SystemCommands,
        folder: tempfile::TempDir,
    }

    impl Site {
        fn with(program: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("micromamba");
            fs::write(&path, program).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let environment = [("PATH".into(), folder.path().as_os_str().to_owned())];
            Self { machine: SystemCommands::new(environment, Arc::default()), folder }
        }

        fn lent(&self, libc: Option<LibcFlavour>) -> Result<PathBuf, String> {
            let image = InImage { machine: &self.machine, libc };
            of_machine(&image.image().unwrap())
        }
    }

    #[test]
    fn only_what_runs_in_the_image_is_lent() {
        let site = Site::with(&init());
        let own = site.folder.path().join("micromamba");
        assert_eq!(site.lent(Some(LibcFlavour::Glibc)), Ok(own.clone()));
        for libc in [Some(LibcFlavour::Musl), None] {
            assert!(site.lent(libc).unwrap_err().contains("no glibc"));
        }
        let script = Site::with(b"#!/bin/sh\n").lent(Some(LibcFlavour::Glibc)).unwrap_err();
        assert!(script.contains("not linked statically"), "{script}");

        let copy = brought(&own, site.folder.path()).unwrap();
        assert_eq!(copy, brought(&own, site.folder.path()).unwrap());
        assert_eq!(fs::read(&copy).unwrap(), init());
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        fs::write(&own, "another one").unwrap();
        assert_ne!(copy, brought(&own, site.folder.path()).unwrap());
    }
}
