//! Byte code: compiled once per environment, beside the first task that uses it and at the lowest priority, so that
//! no task waits for it and every later one starts faster. After that the environment is sealed for good.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Lease;
use crate::command::CommandLine;

const SEALED_FILE: &str = "sealed";
const LOCK_FILE: &str = "sealing";

/// Compiles what has no byte code yet, folder by folder, each writable for that time alone, and says so; may be ended at
/// any moment and begun again. Arguments: the environment, the file that says that it is done.
const PROGRAM: &str = r"
import compileall, os, stat, sys
environment, done = sys.argv[1:]
def allow(paths, writing):
    for path in paths:
        if os.path.exists(path) and not os.path.islink(path):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            os.chmod(path, mode | 0o200 if writing else mode & ~0o222)
for library in ('lib', 'lib64'):
    library = os.path.join(environment, library)
    if os.path.islink(library):
        continue
    for folder, _, files in os.walk(library):
        if any(name.endswith('.py') for name in files):
            places = [folder, os.path.join(folder, '__pycache__')]
            allow(places, True)
            compileall.compile_dir(folder, maxlevels=0, quiet=2)
            allow(places, False)
for folder, _, files in os.walk(environment, topdown=False):
    allow([os.path.join(folder, name) for name in files + ['.']], False)
with open(done + '.new', 'w'):
    pass
os.rename(done + '.new', done)
";

/// Whether everything is compiled and nothing may be written any more.
pub(super) fn is_sealed(folder: &Path) -> bool {
    folder.join(SEALED_FILE).exists()
}

/// As [`start_sealing`], for an environment whose interpreter runs elsewhere: the program to run there.
pub(crate) fn sealing_command(folder: &Path, python: &Path) -> io::Result<Option<CommandLine>> {
    if is_sealed(folder) {
        return Ok(None);
    }
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE))?;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    let environment = python.ancestors().nth(2).unwrap_or(folder);
    let command = CommandLine::new(python).arguments(["-I", "-c", PROGRAM]);
    Ok(Some(command.argument(environment).argument(folder.join(SEALED_FILE)).input(lock)))
}

/// Begins to compile and seal, unless that was done or somebody is at it. Returns at once, with the process that
/// does it; the next one who asks goes on with what is not done when that process ends.
pub(crate) fn start_sealing(folder: &Path, python: &Path, lease: &Lease) -> io::Result<Option<u32>> {
    if is_sealed(folder) {
        return Ok(None);
    }
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE))?;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    let environment = python.ancestors().nth(2).unwrap_or(folder);
    // The locks are handed over with the files, and end with the process.
    let child = Command::new("nice")
        .args(["-n", "19"])
        .arg(python)
        .args(["-I", "-c", PROGRAM])
        .args([environment, &folder.join(SEALED_FILE)])
        .stdin(Stdio::from(lock))
        .stdout(Stdio::from(lease.for_child()?))
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Some(child.id()))
}
