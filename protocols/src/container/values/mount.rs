//! `--mount`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::error::ValueError;
use super::fields::{fields, flag, needed, quoted, split_field, unknown};
use super::number::size;
use super::text::pair;

const FIELDS: [&str; 21] = [
    "type",
    "source",
    "src",
    "target",
    "destination",
    "dst",
    "readonly",
    "ro",
    "consistency",
    "bind-propagation",
    "bind-recursive",
    "bind-nonrecursive",
    "bind-create-src",
    "volume-driver",
    "volume-opt",
    "volume-label",
    "volume-nocopy",
    "volume-subpath",
    "image-subpath",
    "tmpfs-size",
    "tmpfs-mode",
];

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or folder of the host.
    Bind,
    /// A volume of the engine.
    #[default]
    Volume,
    /// Memory.
    Tmpfs,
    /// The files of an image.
    Image,
}

/// Whether mounts made later below this one are seen on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Not, this mount alone.
    Private,
    /// Not.
    Rprivate,
    /// In both directions, this mount alone.
    Shared,
    /// In both directions.
    Rshared,
    /// Into the container, this mount alone.
    Slave,
    /// Into the container.
    Rslave,
}

const PROPAGATIONS: [(&str, Propagation); 6] = [
    ("private", Propagation::Private),
    ("rprivate", Propagation::Rprivate),
    ("shared", Propagation::Shared),
    ("rshared", Propagation::Rshared),
    ("slave", Propagation::Slave),
    ("rslave", Propagation::Rslave),
];

/// What becomes of mounts below a bound folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recursion {
    /// They are not there.
    Disabled,
    /// They are there, and stay writable where the mount is read-only.
    Writable,
    /// They are read-only with it, or the container does not start.
    Readonly,
}

const RECURSIONS: [(&str, Recursion); 3] =
    [("disabled", Recursion::Disabled), ("writable", Recursion::Writable), ("readonly", Recursion::Readonly)];

/// Something mounted in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// A path of the host, a volume, or an image.
    pub source: Option<String>,
    /// Where it is in the container.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// `consistency=`.
    pub consistency: Option<String>,
    /// `bind-propagation=`.
    pub propagation: Option<Propagation>,
    /// `bind-recursive=`.
    pub recursion: Option<Recursion>,
    /// `bind-create-src=`: the folder is made where it is not there.
    pub creates_source: bool,
    /// `volume-driver=`.
    pub driver: Option<String>,
    /// `volume-opt=`.
    pub driver_options: Vec<(String, String)>,
    /// `volume-label=`.
    pub labels: Vec<(String, String)>,
    /// `volume-nocopy=`.
    pub no_copy: bool,
    /// `volume-subpath=` and `image-subpath=`.
    pub subpath: Option<String>,
    /// `tmpfs-size=`, in bytes.
    pub tmpfs_size: Option<i64>,
    /// `tmpfs-mode=`.
    pub tmpfs_mode: Option<u32>,
}

/// `type=bind,src=/a,dst=/b,readonly` and the like.
pub(in super::super) fn mount(text: &str) -> Result<Mount, ValueError> {
    let mut mount = Mount::default();
    // Of which kind fields are that not every mount has.
    let mut special: Vec<(MountKind, &'static str)> = Vec::new();
    for field in fields(text)? {
        let (name, value) = split_field(&field);
        match name.as_str() {
            "type" => mount.kind = kind(&needed(value, "the value of `type=`")?)?,
            "source" | "src" => mount.source = Some(needed(value, "the value of `source=`")?),
            "target" | "destination" | "dst" => mount.target = needed(value, "the value of `target=`")?,
            "readonly" | "ro" => mount.read_only = flag(&field, value)?,
            "consistency" => mount.consistency = Some(needed(value, "the value of `consistency=`")?),
            _ => special.push(mount.special(&name, &field, value)?),
        }
    }
    mount.check(&special)?;
    Ok(mount)
}

fn kind(text: &str) -> Result<MountKind, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "bind" => Ok(MountKind::Bind),
        "volume" => Ok(MountKind::Volume),
        "tmpfs" => Ok(MountKind::Tmpfs),
        "image" => Ok(MountKind::Image),
        _ => Err(ValueError::Part { part: text.to_owned(), expected: "bind, volume, tmpfs or image" }),
    }
}

impl Mount {
    /// Takes a field that only one kind of mount has.
    fn special(
        &mut self,
        name: &str,
        field: &str,
        value: Option<&str>,
    ) -> Result<(MountKind, &'static str), ValueError> {
        let word = || needed(value, "the value of a field");
        let part = |expected| ValueError::Part { part: field.to_owned(), expected };
        Ok(match name {
            "bind-propagation" => {
                let found = PROPAGATIONS.iter().find(|(name, _)| Some(*name) == value);
                let expected = "private, rprivate, shared, rshared, slave or rslave";
                self.propagation = Some(found.ok_or_else(|| part(expected))?.1);
                (MountKind::Bind, "bind-propagation")
            }
            "bind-recursive" => {
                let found = RECURSIONS.iter().find(|(name, _)| Some(*name) == value);
                self.recursion = match (found, value) {
                    (Some((_, recursion)), _) => Some(*recursion),
                    (None, Some("enabled")) => None,
                    (None, _) => return Err(part("enabled, disabled, writable or readonly")),
                };
                (MountKind::Bind, "bind-recursive")
            }
            "bind-nonrecursive" => {
                self.recursion = flag(field, value)?.then_some(Recursion::Disabled);
                (MountKind::Bind, "bind-nonrecursive")
            }
            "bind-create-src" => {
                self.creates_source = flag(field, value)?;
                (MountKind::Bind, "bind-create-src")
            }
            "volume-driver" => {
                self.driver = Some(word()?);
                (MountKind::Volume, "volume-driver")
            }
            "volume-opt" => {
                self.driver_options.push(pair(&word()?)?);
                (MountKind::Volume, "volume-opt")
            }
            "volume-label" => {
                self.labels.push(super::text::label(&word()?)?);
                (MountKind::Volume, "volume-label")
            }
            "volume-nocopy" => {
                self.no_copy = flag(field, value)?;
                (MountKind::Volume, "volume-nocopy")
            }
            "volume-subpath" => {
                self.subpath = Some(word()?);
                (MountKind::Volume, "volume-subpath")
            }
            "image-subpath" => {
                self.subpath = Some(word()?);
                (MountKind::Image, "image-subpath")
            }
            "tmpfs-size" => {
                self.tmpfs_size = Some(size(&word()?).map_err(|_| part("a size like 64m"))?);
                (MountKind::Tmpfs, "tmpfs-size")
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(&word()?, 8).ok().filter(|mode| *mode <= 0o7777);
                self.tmpfs_mode = Some(mode.ok_or_else(|| part("a mode in octal like 1777"))?);
                (MountKind::Tmpfs, "tmpfs-mode")
            }
            other => return Err(unknown(other, &FIELDS)),
        })
    }

    fn check(&self, special: &[(MountKind, &'static str)]) -> Result<(), ValueError> {
        if !self.target.starts_with('/') || self.target.trim_end_matches('/').is_empty() {
            return Err(match self.target.as_str() {
                "" => ValueError::Missing("the field `target=`"),
                target => {
                    ValueError::Part { part: target.to_owned(), expected: "an absolute path in the container, not `/`" }
                }
            });
        }
        if let Some((_, field)) = special.iter().find(|(kind, _)| *kind != self.kind) {
            return Err(ValueError::Part { part: (*field).to_owned(), expected: "left out for this `type=`" });
        }
        match (self.kind, self.source.as_deref()) {
            (MountKind::Bind, Some(source)) if source.starts_with('/') => Ok(()),
            (MountKind::Bind, Some(source)) => {
                Err(ValueError::Part { part: source.to_owned(), expected: "an absolute path of the host" })
            }
            (MountKind::Bind | MountKind::Image, None) => Err(ValueError::Missing("the field `source=`")),
            (MountKind::Tmpfs, Some(_)) => Err(ValueError::Impossible("a tmpfs has no `source=`")),
            (MountKind::Tmpfs | MountKind::Volume, None) | (MountKind::Image | MountKind::Volume, Some(_)) => Ok(()),
        }?;
        let is_private = self.propagation == Some(Propagation::Rprivate);
        if self.recursion == Some(Recursion::Readonly) && !(self.read_only && is_private) {
            let why = "`bind-recursive=readonly` needs `readonly` and `bind-propagation=rprivate`";
            return Err(ValueError::Impossible(why));
        }
        Ok(())
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            MountKind::Bind => "bind",
            MountKind::Volume => "volume",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Image => "image",
        };
        let mut fields = vec![format!("type={kind}")];
        let mut add = |name: &str, value: &dyn fmt::Display| fields.push(format!("{name}={value}"));
        if let Some(source) = &self.source {
            add("source", source);
        }
        add("target", &self.target);
        if self.read_only {
            add("readonly", &true);
        }
        if let Some(consistency) = &self.consistency {
            add("consistency", consistency);
        }
        if let Some((name, _)) = PROPAGATIONS.iter().find(|(_, propagation)| Some(*propagation) == self.propagation) {
            add("bind-propagation", name);
        }
        if let Some((name, _)) = RECURSIONS.iter().find(|(_, recursion)| Some(*recursion) == self.recursion) {
            add("bind-recursive", name);
        }
        if self.creates_source {
            add("bind-create-src", &true);
        }
        if let Some(driver) = &self.driver {
            add("volume-driver", driver);
        }
        for (name, value) in &self.driver_options {
            add("volume-opt", &format_args!("{name}={value}"));
        }
        for (name, value) in &self.labels {
            add("volume-label", &format_args!("{name}={value}"));
        }
        if self.no_copy {
            add("volume-nocopy", &true);
        }
        if let Some(subpath) = &self.subpath {
            add(if self.kind == MountKind::Image { "image-subpath" } else { "volume-subpath" }, subpath);
        }
        if let Some(size) = self.tmpfs_size {
            add("tmpfs-size", &size);
        }
        if let Some(mode) = self.tmpfs_mode {
            add("tmpfs-mode", &format_args!("{mode:o}"));
        }
        formatter.write_str(&fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","))
    }
}
