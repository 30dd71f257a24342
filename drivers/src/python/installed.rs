//! What an environment holds, read from its metadata: no interpreter is started for it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::requirement_line::normalised_name;
use crate::scrub::scrub_urls;

/// Where a package came from, if not from an index (PEP 610).
#[derive(Deserialize)]
struct DirectUrl {
    url: String,
    #[serde(default)]
    vcs_info: Option<VcsInfo>,
    #[serde(default)]
    subdirectory: Option<String>,
}

#[derive(Deserialize)]
struct VcsInfo {
    vcs: String,
    #[serde(default)]
    commit_id: Option<String>,
}

/// The packages of a virtual environment as `pip freeze` writes them, sorted by name, without those called as in
/// `left_out` (normalised). What was installed from a folder is not listed: its path means nothing elsewhere.
pub(super) fn packages(environment: &Path, left_out: &[&str]) -> Vec<String> {
    let found = metadata_folders(environment).filter_map(|path| package(&path));
    lines(found.filter(|(name, _)| !left_out.contains(&name.as_str())))
}

/// As [`packages`], those alone that say in `INSTALLER` who installed them: `pip`, say, where others are conda's.
pub(super) fn packages_by(environment: &Path, installer: &str) -> Vec<String> {
    let is_its =
        |folder: &Path| fs::read(folder.join("INSTALLER")).is_ok_and(|name| name.trim_ascii() == installer.as_bytes());
    lines(metadata_folders(environment).filter(|folder| is_its(folder)).filter_map(|path| package(&path)))
}

/// Of names and lines, the lines in the order of the names.
fn lines(packages: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let sorted: std::collections::BTreeSet<_> = packages.collect();
    sorted.into_iter().map(|(_, line)| line).collect()
}

/// Normalised names of all packages of a virtual environment.
pub(super) fn names(environment: &Path) -> Vec<String> {
    metadata_folders(environment)
        .filter_map(|path| field(&fs::read(path.join("METADATA")).ok()?, "Name"))
        .map(|name| normalised_name(&name))
        .collect()
}

/// Where the metadata of the packages of a virtual environment are.
pub(super) fn metadata_folders(environment: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = site_packages(environment).into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let paths = folders.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "dist-info"))
}

fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(environment.join("lib")) else { return Vec::new() };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path().join("site-packages")));
    folders.filter(|folder| folder.is_dir()).collect()
}

/// Normalised name and line of one package.
fn package(folder: &Path) -> Option<(String, String)> {
    let metadata = fs::read(folder.join("METADATA")).ok()?;
    let (name, version) = (field(&metadata, "Name")?, field(&metadata, "Version")?);
    let direct = fs::read(folder.join("direct_url.json")).ok();
    let line = match direct.and_then(|bytes| serde_json::from_slice::<DirectUrl>(&bytes).ok()) {
        None => format!("{name}=={version}"),
        Some(direct) if direct.url.starts_with("file:") && direct.vcs_info.is_none() => return None,
        Some(direct) => format!("{name} @ {}", url_text(&direct)),
    };
    Some((normalised_name(&name), line))
}

/// The value of a header of a package's metadata.
fn field(metadata: &[u8], name: &str) -> Option<String> {
    let metadata = String::from_utf8_lossy(metadata);
    let headers = metadata.lines().take_while(|line| !line.is_empty());
    let mut values = headers.filter_map(|line| line.split_once(':'));
    values.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn url_text(direct: &DirectUrl) -> String {
    let mut text = match &direct.vcs_info {
        Some(VcsInfo { vcs, commit_id: Some(commit) }) => format!("{vcs}+{}@{commit}", direct.url),
        Some(VcsInfo { vcs, commit_id: None }) => format!("{vcs}+{}", direct.url),
        None => direct.url.clone(),
    };
    if let Some(subdirectory) = &direct.subdirectory {
        text.push_str(&format!("#subdirectory={subdirectory}"));
    }
    scrub_urls(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_as_pip_freezes_them() {
        let environment = tempfile::tempdir().unwrap();
        let add = |folder: &str, metadata: &str, direct: &str| {
            let folder = environment.path().join("lib/python3.11/site-packages").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("METADATA"), metadata).unwrap();
            if !direct.is_empty() {
                fs::write(folder.join("direct_url.json"), direct).unwrap();
            }
        };
        add("six-1.16.0.dist-info", "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n\nName: fake", "");
        add("A_b-1.dist-info", "Name: A_b\nVersion: 1\n", "");
        add("pip-1.dist-info", "Name: pip\nVersion: 1\n", "");
        add(
            "v-2.dist-info",
            "Name: v\nVersion: 2\n",
            r#"{"url": "https://u:p@h/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "s"}"#,
        );
        add("w-3.dist-info", "Name: w\nVersion: 3\n", r#"{"url": "https://h/w.whl", "archive_info": {}}"#);
        add("mine-1.dist-info", "Name: mine\nVersion: 1\n", r#"{"url": "file:///x", "dir_info": {"editable": true}}"#);
        assert_eq!(
            packages(environment.path(), &["pip"]),
            ["A_b==1", "six==1.16.0", "v @ git+https://***@h/r@abc#subdirectory=s", "w @ https://h/w.whl"]
        );
        let mut all = names(environment.path());
        all.sort();
        assert_eq!(all, ["a-b", "mine", "pip", "six", "v", "w"]);
    }
}
