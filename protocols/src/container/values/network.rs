//! `--network`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::error::ValueError;
use super::fields::{fields, needed, quoted, split_field, unknown};
use super::text::{ip, ip4, ip6, mac, pair};

const FIELDS: [&str; 8] = ["name", "alias", "ip", "ip6", "mac-address", "link-local-ip", "driver-opt", "gw-priority"];

/// A network that the container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// `host`, `none`, `bridge`, `container:NAME`, or the name of a network.
    pub name: String,
    /// Names under which the container is found there.
    pub aliases: Vec<String>,
    /// Its address there.
    pub ip: Option<String>,
    /// Its IPv6 address there.
    pub ip6: Option<String>,
    /// Its MAC address there.
    pub mac_address: Option<String>,
    /// Further addresses there.
    pub link_local_ips: Vec<String>,
    /// For the network's driver.
    pub driver_options: Vec<(String, String)>,
    /// Which network the default route goes through.
    pub gateway_priority: Option<i64>,
}

impl Network {
    /// A network by its name alone.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Whether its name is one. Only what stands alone has something behind a colon.
    fn has_name(&self) -> bool {
        let (kind, rest) = self.name.split_once(':').unwrap_or((&self.name, ""));
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
        let is_word = !kind.is_empty() && kind.chars().all(is_letter);
        is_word && !rest.contains(char::is_whitespace) && (self.name == kind || self.stands_alone())
    }

    /// Whether it is no network of somebody's own, beside which there can be no other.
    pub fn stands_alone(&self) -> bool {
        let kind = self.name.split(':').next().unwrap_or_default();
        matches!(
            kind,
            "host" | "none" | "bridge" | "default" | "container" | "ns" | "slirp4netns" | "pasta" | "private"
        )
    }
}

/// `NAME`, or `name=NAME,alias=A,ip=10.0.0.5,driver-opt=K=V`. The same network again replaces what was said of it.
pub(in super::super) fn network(networks: &mut Vec<Network>, text: &str) -> Result<(), ValueError> {
    let before = text.split_once('=').map(|(before, _)| before);
    let has_fields = before.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let network = if has_fields { with_fields(text)? } else { Network::named(text) };
    if !network.has_name() {
        return Err(ValueError::Expected("the name of a network, host, none, or container:NAME"));
    }
    if network.stands_alone() && network != Network::named(&network.name) {
        return Err(ValueError::Impossible("only a network of your own has addresses, aliases and options"));
    }
    match networks.iter_mut().find(|other| other.name == network.name) {
        Some(other) => *other = network,
        None => networks.push(network),
    }
    Ok(())
}

fn with_fields(text: &str) -> Result<Network, ValueError> {
    let mut network = Network::default();
    for field in fields(text)? {
        let (name, value) = split_field(&field);
        let value = needed(value, "the value of a field")?;
        match name.as_str() {
            "name" => network.name = value,
            "alias" => network.aliases.push(value),
            "ip" => network.ip = Some(ip4(&value)?),
            "ip6" => network.ip6 = Some(ip6(&value)?),
            "mac-address" => network.mac_address = Some(mac(&value)?),
            "link-local-ip" => network.link_local_ips.push(ip(&value)?),
            "driver-opt" => network.driver_options.push(pair(&value)?),
            "gw-priority" => {
                let wrong = |_| ValueError::Part { part: value.clone(), expected: "a number" };
                network.gateway_priority = Some(value.parse().map_err(wrong)?);
            }
            other => return Err(unknown(other, &FIELDS)),
        }
    }
    if network.name.is_empty() { Err(ValueError::Missing("the field `name=`")) } else { Ok(network) }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::named(&self.name) {
            return formatter.write_str(&self.name);
        }
        let mut fields = vec![format!("name={}", self.name)];
        fields.extend(self.aliases.iter().map(|alias| format!("alias={alias}")));
        fields.extend(self.ip.iter().map(|ip| format!("ip={ip}")));
        fields.extend(self.ip6.iter().map(|ip| format!("ip6={ip}")));
        fields.extend(self.mac_address.iter().map(|mac| format!("mac-address={mac}")));
        fields.extend(self.link_local_ips.iter().map(|ip| format!("link-local-ip={ip}")));
        fields.extend(self.driver_options.iter().map(|(name, value)| format!("driver-opt={name}={value}")));
        fields.extend(self.gateway_priority.iter().map(|priority| format!("gw-priority={priority}")));
        formatter.write_str(&fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","))
    }
}
