//! Ports of the host that are taken already.

use std::collections::BTreeSet;

use super::argument::Argument;
use super::policy::Decision;
use super::values::port::{PortRange, Protocol, PublishedPort, published};

/// Where other ports are looked for, where the operator does not say.
const FREE_PORTS: PortRange = PortRange { first: 10_000, last: 60_000 };

/// A range of ports that was replaced by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remapped {
    /// The ports that were asked for.
    pub asked: PortRange,
    /// Those that are published instead.
    pub given: PortRange,
}

/// No neighbouring ports are free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {count} neighbouring ports of the host are free in {allowed}")]
pub struct NoPortFree {
    count: usize,
    allowed: PortRange,
}

impl Decision {
    /// Publishes other ports of the host for those that are in `busy`, or that the operator does not allow. Only TCP is
    /// looked at, as the stock agent does it. With the network of the host there is nothing to publish.
    pub fn remap_ports(
        &mut self,
        busy: &BTreeSet<u16>,
        allowed: Option<PortRange>,
    ) -> Result<Vec<Remapped>, NoPortFree> {
        if self.spec.networks.first().is_some_and(|network| network.name == "host") {
            return Ok(Vec::new());
        }
        let mut taken = busy.clone();
        let mut remapped = Vec::new();
        let mut ports = Vec::new();
        // What fails leaves everything as it was.
        let mut arguments = self.arguments.clone();
        for argument in arguments.iter_mut().filter(|argument| argument.switch.long == "publish") {
            let Ok(mut port) = published(&argument.value) else { continue };
            if let Some(change) = remap(&mut port, &mut taken, allowed)? {
                remapped.push(change);
                set(argument, &port);
            }
            ports.push(port);
        }
        self.arguments = arguments;
        self.spec.ports = ports;
        Ok(remapped)
    }

    /// What `_external_host_tcp_port_mapping` of the task's runtime says: `HOST:CONTAINER` for every TCP port that has a
    /// port of the host, with commas between them. Empty for none.
    pub fn port_mapping(&self) -> String {
        let tcp = self.spec.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        let pairs = tcp.filter_map(|port| Some(format!("{}:{}", port.host?, port.container)));
        pairs.collect::<Vec<_>>().join(",")
    }
}

fn set(argument: &mut Argument, port: &PublishedPort) {
    argument.value = port.to_string();
}

/// Moves a range that cannot be used as it is; `taken` learns what is used now.
fn remap(
    port: &mut PublishedPort,
    taken: &mut BTreeSet<u16>,
    allowed: Option<PortRange>,
) -> Result<Option<Remapped>, NoPortFree> {
    let Some(asked) = port.host.filter(|_| port.protocol == Protocol::Tcp) else { return Ok(None) };
    let is_inside = allowed.is_none_or(|allowed| allowed.first <= asked.first && asked.last <= allowed.last);
    let is_free = |candidate: u16| !taken.contains(&candidate);
    // Of more ports than the container has, one that is free is enough: the engine takes it.
    let is_choice = asked.count() != port.container.count();
    let is_usable = if is_choice { asked.ports().any(is_free) } else { asked.ports().all(is_free) };
    if is_inside && is_usable {
        if !is_choice {
            taken.extend(asked.ports());
        }
        return Ok(None);
    }
    let allowed = allowed.unwrap_or(FREE_PORTS);
    let count = if is_choice { 1 } else { asked.count() };
    let given = neighbours(count, taken, allowed).ok_or(NoPortFree { count, allowed })?;
    taken.extend(given.ports());
    port.host = Some(given);
    Ok(Some(Remapped { asked, given }))
}

/// The first so many neighbouring ports that nobody has.
fn neighbours(count: usize, taken: &BTreeSet<u16>, allowed: PortRange) -> Option<PortRange> {
    let mut first = allowed.first;
    for port in allowed.ports() {
        if taken.contains(&port) {
            first = port.checked_add(1)?;
        } else if usize::from(port - first) + 1 == count {
            return Some(PortRange { first, last: port });
        }
    }
    None
}
