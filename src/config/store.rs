//! Where environments are kept, and how many: `agent.venvs_cache` and `agent.pip_download_cache`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use protocols::order::StoreSettings;

use super::environment::Environment;
use super::tree::{Tree, TypeError};

/// Bytes of the disk that stay free unless told otherwise, in GB, as upstream.
const FREE_GB: f64 = 2.0;
const GB: f64 = (1_u64 << 30) as f64;

/// Reads both sections. A number that is not above 0 means: no limit.
pub(super) fn read(tree: &Tree, environment: &Environment) -> Result<StoreSettings, TypeError> {
    let path = |text: Option<String>| text.map(|text| environment.expand_path(&text));
    let folder = match environment.clearml("AGENT_VENV_CACHE_PATH") {
        Some(text) => Some(text.to_owned()),
        None => tree.text("agent.venvs_cache.path")?,
    };
    let number = |key: &str| tree.number(&format!("agent.venvs_cache.{key}"));
    let positive = |number: Option<f64>| number.filter(|number| *number > 0.0);
    Ok(StoreSettings {
        folder: path(folder).map(|folder| beside(&folder)),
        max_entries: positive(number("max_entries")?).map(|number| number as usize),
        max_bytes: positive(number("max_size_gb")?).map(|number| (number * GB) as u64),
        free_floor: (number("free_space_threshold_gb")?.unwrap_or(FREE_GB).max(0.0) * GB) as u64,
        download_folder: path(tree.text("agent.pip_download_cache.path")?),
        without_download_cache: tree.flag("agent.pip_download_cache.enabled")? == Some(false),
    })
}

/// The stock agent removes whatever it does not know in its cache: ours is beside it. A mount point has nothing
/// beside it on the same disk: there it is inside.
fn beside(folder: &Path) -> PathBuf {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    match folder.parent() {
        Some(parent) if device(folder).is_none() || device(folder) == device(parent) => {
            parent.join(format!("{name}-hostler"))
        }
        Some(_) | None => folder.join("hostler"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> StoreSettings {
        let mut tree = Tree::default();
        tree.lay_over(super::super::hocon::parse_text(text, Path::new("clearml.conf")).unwrap());
        read(&tree, &Environment::of(&[])).unwrap()
    }

    #[test]
    fn sections_of_the_stock_agent_are_understood() {
        let text = "agent { venvs_cache: { max_entries: 10, free_space_threshold_gb: 3, path: /nowhere/cache }\n\
                    pip_download_cache { enabled: false, path: /nowhere/pip } }";
        let found = settings(text);
        assert_eq!(found.folder, Some("/nowhere/cache-hostler".into()));
        assert_eq!((found.max_entries, found.max_bytes, found.free_floor), (Some(10), None, 3 << 30));
        assert_eq!((found.download_folder, found.without_download_cache), (Some("/nowhere/pip".into()), true));
    }

    #[test]
    fn without_them_only_the_disk_counts() {
        let found = settings("agent { venvs_cache { max_entries: 0, max_size_gb: 0.5 } }");
        assert_eq!((found.folder, found.max_entries, found.free_floor), (None, None, 2 << 30));
        assert_eq!(found.max_bytes, Some(1 << 29));
    }
}
