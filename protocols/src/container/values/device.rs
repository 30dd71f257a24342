//! `--device`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::error::ValueError;
use super::super::spec::ContainerSpec;

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where it is on the host.
    pub host: String,
    /// Where it is in the container.
    pub container: String,
    /// What may be done: `r`, `w` and `m`.
    pub permissions: String,
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.host, self.container, self.permissions)
    }
}

/// `/dev/x`, `/dev/x:/dev/y`, `/dev/x:rw`, `/dev/x:/dev/y:rw`, or `vendor/class=name` of the Container Device Interface.
pub(in super::super) fn device(spec: &mut ContainerSpec, text: &str) -> Result<(), ValueError> {
    const DEVICE: ValueError = ValueError::Expected(
        "a device like /dev/fuse, /dev/sda:/dev/xvda:rw, or the name of a CDI device like nvidia.com/gpu=0",
    );
    if is_cdi(text) {
        spec.cdi_devices.push(text.to_owned());
        return Ok(());
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, access] if is_access(access) => (*host, *host, *access),
        [host, container] => (*host, *container, "rwm"),
        [host, container, access] if is_access(access) => (*host, *container, *access),
        _ => return Err(DEVICE),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(DEVICE);
    }
    let [host, container, permissions] = [host, container, permissions].map(str::to_owned);
    spec.devices.push(Device { host, container, permissions });
    Ok(())
}

fn is_access(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter)) && ['r', 'w', 'm'].into_iter().all(once)
}

/// Whether it is the full name of a device of the Container Device Interface.
fn is_cdi(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let is_word = |word: &str| {
        word.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|letter| !letter.is_whitespace());
    is_word(vendor) && is_word(class) && is_name(name)
}
