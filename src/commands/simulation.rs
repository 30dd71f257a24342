//! `--simulate`: a machine whose GPUs are not there, for rehearsals.
//!
//! The simulated driver takes the place of the real one as a whole, so that real and simulated cards are never mixed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::private_file;
use crate::exit::Problem;

/// The library of `tests/fake-nvml`.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libnvidia-ml.so.1"));

/// In the state directory.
const FOLDER: &str = "simulated-driver";

/// What the library reads, beside itself.
const SCENARIO_FILE: &str = "scenario";

/// Puts the driver of a simulated machine into the state directory. Gives its path.
///
/// `what` is cards, as in `8xH100` or `4xH100+2xL4`, or the path of a scenario file, which may change meanwhile.
pub(super) fn install(state_dir: &Path, what: &str) -> anyhow::Result<PathBuf> {
    let folder = private_file::directory(&private_file::directory(state_dir)?.join(FOLDER))?;
    let (library, scenario) = (folder.join("libnvidia-ml.so.1"), folder.join(SCENARIO_FILE));
    // A program that has it loaded keeps the file that it has.
    private_file::write(&library, LIBRARY)?;
    match scenario_of(what) {
        Some(text) => private_file::write(&scenario, text.as_bytes())?,
        None => link(what, &scenario)?,
    }
    Ok(library)
}

/// `8xH100+2xL4` as a scenario; `None` where it is something else.
fn scenario_of(what: &str) -> Option<String> {
    let mut scenario = String::new();
    for part in what.split('+') {
        let (count, model) = part.trim().split_once(['x', 'X'])?;
        let count: u16 = count.parse().ok()?;
        // Writing to a String cannot fail.
        let _ = writeln!(scenario, "cards {count} {model}");
    }
    Some(scenario)
}

fn link(file: &str, scenario: &Path) -> anyhow::Result<()> {
    let wrong = |error: std::io::Error| {
        Problem::usage(format!("--simulate {file}: neither cards like 8xH100 nor a scenario file: {error}"))
    };
    let file = std::fs::canonicalize(file).map_err(wrong)?;
    let new = scenario.with_extension("new");
    let _ = std::fs::remove_file(&new);
    std::os::unix::fs::symlink(file, &new)?;
    Ok(std::fs::rename(new, scenario)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_counted() {
        assert_eq!(scenario_of("8xH100").as_deref(), Some("cards 8 H100\n"));
        assert_eq!(scenario_of("4xA100-40GB + 1xL4").as_deref(), Some("cards 4 A100-40GB\ncards 1 L4\n"));
        assert_eq!(scenario_of("./machine.txt"), None);
        assert_eq!(scenario_of("xH100"), None);
    }

    #[test]
    fn a_scenario_may_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("machine");
        std::fs::write(&file, "cards 1 L4").unwrap();
        install(directory.path(), "2xH100").unwrap();
        let library = install(directory.path(), file.to_str().unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(library.with_file_name(SCENARIO_FILE)).unwrap(), "cards 1 L4");
        let error = install(directory.path(), "nowhere").unwrap_err().to_string();
        assert!(error.contains("8xH100"), "{error}");
    }
}
