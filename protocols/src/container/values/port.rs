//! `--publish` and `--expose`.

use core::net::IpAddr;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::error::ValueError;

const PUBLISHED: ValueError =
    ValueError::Expected("ports like 8080, 8080:80, 127.0.0.1:8080:80/tcp or 9000-9010:9000-9010/udp");

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Neighbouring ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl PortRange {
    /// Reads `80` or `80-90`.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let range = Self { first: number(first)?, last: number(last)? };
        (range.first <= range.last && (range.first > 0 || range.last == 0)).then_some(range)
    }

    /// How many ports.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// All of them.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(formatter, "{first}") } else { write!(formatter, "{first}-{last}") }
    }
}

/// Ports of the container that the image is said to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedPort {
    /// Which.
    pub ports: PortRange,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// Ports of the container that can be reached through ports of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The address of the host; absent for all.
    pub host_ip: Option<IpAddr>,
    /// Ports of the host; absent for any that is free. More of them than of the container: one that is free of them.
    pub host: Option<PortRange>,
    /// Ports of the container.
    pub container: PortRange,
    /// What is spoken there.
    pub protocol: Protocol,
}

impl PublishedPort {
    /// Each port of the container, with the port or ports of the host that lead to it.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, Option<PortRange>)> {
        let (host, is_choice) = (self.host, self.host.is_some_and(|host| host.count() != self.container.count()));
        self.container.ports().zip(0..).map(move |(port, offset)| {
            let single = host.map(|host| host.first.saturating_add(offset));
            (port, if is_choice { host } else { single.map(|port| PortRange { first: port, last: port }) })
        })
    }
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(formatter, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(formatter, "{ip}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(formatter, "{host}:")?,
            None if self.host_ip.is_some() => formatter.write_str(":")?,
            None => {}
        }
        write!(formatter, "{}/{}", self.container, self.protocol)
    }
}

/// `80`, `80-90/udp`.
pub(in super::super) fn exposed(text: &str) -> Result<ExposedPort, ValueError> {
    const EXPOSED: ValueError = ValueError::Expected("ports like 80, 80-90 or 53/udp");
    let (ports, protocol) = with_protocol(text).ok_or(EXPOSED)?;
    Ok(ExposedPort { ports: PortRange::parse(ports).filter(|ports| ports.first > 0).ok_or(EXPOSED)?, protocol })
}

/// `[IP:][HOST:]CONTAINER[/PROTOCOL]`, each with ranges; an IPv6 address in brackets.
pub(in super::super) fn published(text: &str) -> Result<PublishedPort, ValueError> {
    let (text, protocol) = with_protocol(text).ok_or(PUBLISHED)?;
    let (host_ip, ports) = address(text)?;
    let (host, container) = match ports.split_once(':') {
        Some((host, container)) => (Some(host).filter(|host| !host.is_empty()), container),
        // An address is followed by a port of the host, be it an empty one.
        None if host_ip.is_some() => return Err(PUBLISHED),
        None => (None, ports),
    };
    let container = PortRange::parse(container).filter(|container| container.first > 0).ok_or(PUBLISHED)?;
    let host = host.map(|host| PortRange::parse(host).ok_or(PUBLISHED)).transpose()?;
    // Port 0 of the host is any.
    let host = host.filter(|host| host.first > 0);
    if let Some(host) = host
        && host.count() != container.count()
        && container.count() != 1
    {
        return Err(ValueError::Impossible("both ranges must have as many ports"));
    }
    Ok(PublishedPort { host_ip, host, container, protocol })
}

/// Takes an address off the front of `HOST:CONTAINER`.
fn address(text: &str) -> Result<(Option<IpAddr>, &str), ValueError> {
    let wrong = |part: &str| ValueError::Part { part: part.to_owned(), expected: "an address of this machine" };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(PUBLISHED)?;
        let ports = rest.strip_prefix(':').ok_or(PUBLISHED)?;
        let parsed = address.parse::<core::net::Ipv6Addr>().map_err(|_| wrong(address))?;
        return Ok((Some(parsed.into()), ports));
    }
    if text.matches(':').count() < 2 {
        return Ok((None, text));
    }
    let before_last = text.rfind(':').and_then(|last| text[..last].rfind(':')).ok_or(PUBLISHED)?;
    let (address, ports) = (&text[..before_last], &text[before_last + 1..]);
    if address.is_empty() {
        return Ok((None, ports));
    }
    Ok((Some(address.parse().map_err(|_| wrong(address))?), ports))
}

fn with_protocol(text: &str) -> Option<(&str, Protocol)> {
    let Some((ports, protocol)) = text.rsplit_once('/') else { return Some((text, Protocol::Tcp)) };
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some((ports, protocol))
}
