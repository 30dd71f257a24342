//! `--volume`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::error::ValueError;

/// What may follow the place in the container. Those of one row exclude each other.
const OPTIONS: [&[&str]; 6] = [
    &["ro", "rw"],
    &["z", "Z"],
    &["copy", "nocopy"],
    &["shared", "rshared", "slave", "rslave", "private", "rprivate"],
    &["consistent", "cached", "delegated"],
    &["U", "O"],
];

/// A folder of the host, or a volume of the engine, in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// An absolute path of the host, or the name of a volume; absent for a new volume without a name.
    pub source: Option<String>,
    /// Where it is in the container.
    pub target: String,
    /// `ro`, `z`, `rshared`..
    pub options: Vec<String>,
}

impl Volume {
    /// The folder of the host, unless it is a volume.
    pub fn host_path(&self) -> Option<&str> {
        self.source.as_deref().filter(|source| source.starts_with('/'))
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(formatter, "{source}:")?;
        }
        formatter.write_str(&self.target)?;
        if self.options.is_empty() { Ok(()) } else { write!(formatter, ":{}", self.options.join(",")) }
    }
}

/// `/in`, `/host:/in`, `name:/in`, each but the first with `:ro,z` and the like.
pub(in super::super) fn volume(text: &str) -> Result<Volume, ValueError> {
    const VOLUME: ValueError = ValueError::Expected("/host/path:/path or name:/path, with options like :ro");
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] if !options.is_empty() => (Some(*source), *target, *options),
        _ => return Err(VOLUME),
    };
    if !target.starts_with('/') {
        return Err(ValueError::Part { part: target.to_owned(), expected: "an absolute path in the container" });
    }
    if target.trim_end_matches('/').is_empty() {
        return Err(ValueError::Impossible("nothing can be mounted over the whole container"));
    }
    if let Some(source) = source.filter(|source| !is_source(source)) {
        let expected = "an absolute path of the host, or the name of a volume: `~` and paths relative to a folder mean \
                        nothing to an agent";
        return Err(ValueError::Part { part: source.to_owned(), expected });
    }
    let options: Vec<String> = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    check(&options)?;
    Ok(Volume { source: source.map(str::to_owned), target: target.to_owned(), options })
}

pub(super) fn is_source(source: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let is_name = source.len() > 1
        && source.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && source.chars().all(is_letter);
    source.starts_with('/') || is_name
}

fn check(options: &[String]) -> Result<(), ValueError> {
    for option in options {
        if !OPTIONS.iter().any(|row| row.contains(&option.as_str())) {
            let expected = "ro, rw, z, Z, nocopy, shared, slave, private, rshared, rslave or rprivate";
            return Err(ValueError::Part { part: option.clone(), expected });
        }
    }
    for row in OPTIONS {
        if options.iter().filter(|option| row.contains(&option.as_str())).count() > 1 {
            return Err(ValueError::Impossible("two of its options exclude each other"));
        }
    }
    Ok(())
}
