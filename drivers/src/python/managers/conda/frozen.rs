//! Environments that tasks share do not change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::python::error::PythonError;
use crate::python::store::{walk, write_atomically};

/// Takes the right to write away from the folders of an environment that tasks share, and tells conda so in its own
/// way (CEP 22): what they install goes into their layers. Its files are left alone: conda's cache has them too.
pub(in crate::python) fn freeze(environment: &Path) -> Result<(), PythonError> {
    let lists = environment.join("conda-meta");
    let mark = lists.join("frozen");
    if mark.exists() {
        return Ok(());
    }
    let close = |folder: &Path| {
        let mode = fs::metadata(folder)?.permissions().mode();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode & !0o222))
    };
    let mut result = Ok(());
    walk(environment, &mut |path, metadata| {
        if metadata.is_dir() && path != lists && result.is_ok() {
            result = close(path).map_err(PythonError::io("close", path));
        }
    });
    result?;
    let message = "Tasks share this environment. Install with pip, which writes into the task's own layer, or name the \
                   package in the task's requirements.";
    write_atomically(&mark, serde_json::json!({ "message": message }).to_string().as_bytes())?;
    for folder in [&lists, environment] {
        close(folder).map_err(PythonError::io("close", folder))?;
    }
    Ok(())
}
