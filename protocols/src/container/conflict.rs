//! What arguments cannot be asked for together.

use std::collections::HashMap;

use super::conceal::without_passwords_of_mounts;
use super::error::ArgumentError;
use super::spec::ContainerSpec;

impl ContainerSpec {
    /// Finds what an engine would refuse, or take for something else than what is meant, and names both sides.
    pub(super) fn check(&mut self) -> Result<(), ArgumentError> {
        self.check_networks()?;
        self.check_mounts()?;
        let exclusive = |one: &str, other: &str| Err(ArgumentError::Exclusive(one.to_owned(), other.to_owned()));
        if let Some(health) = &self.health {
            let asks = health.command.is_some()
                || [health.interval, health.timeout, health.start_period, health.start_interval, health.retries]
                    .iter()
                    .any(Option::is_some);
            if health.disabled && asks {
                return exclusive("`--no-healthcheck`", "the other switches of health checks");
            }
        }
        if self.limits.nano_cpus.is_some() && self.limits.cpu_quota.is_some() {
            return exclusive("`--cpus`", "`--cpu-quota`");
        }
        if self.limits.nano_cpus.is_some() && self.limits.cpu_period.is_some() {
            return exclusive("`--cpus`", "`--cpu-period`");
        }
        if self.uts.as_deref() == Some("host") && self.hostname.is_some() {
            return exclusive("`--uts host`", "`--hostname`");
        }
        Ok(())
    }

    /// A network that stands alone is the only one, and what belongs to the first network has one to belong to.
    fn check_networks(&self) -> Result<(), ArgumentError> {
        if let [first, second, ..] = self.networks.as_slice()
            && let Some(alone) = self.networks.iter().find(|network| network.stands_alone())
        {
            let other = if alone == first { second } else { first };
            let name = |name: &str| format!("`--network {name}`");
            return Err(ArgumentError::Exclusive(name(&alone.name), name(&other.name)));
        }
        let first = self.networks.first();
        let is_own = first.is_some_and(|network| !network.stands_alone());
        let asked = [
            (!self.network_aliases.is_empty(), "`--network-alias`"),
            (self.ip.is_some(), "`--ip`"),
            (self.ip6.is_some(), "`--ip6`"),
            (!self.link_local_ips.is_empty(), "`--link-local-ip`"),
        ];
        match (first, asked.iter().find(|(is_asked, _)| *is_asked)) {
            (Some(network), Some((_, switch))) if !is_own => {
                let network = format!("`--network {}`", network.name);
                Err(ArgumentError::Exclusive((*switch).to_owned(), network))
            }
            (None, Some((_, switch))) => {
                Err(ArgumentError::Exclusive((*switch).to_owned(), "the engine's default network".to_owned()))
            }
            (_, _) => Ok(()),
        }
    }

    /// One place holds one thing. The same thing twice is once.
    fn check_mounts(&mut self) -> Result<(), ArgumentError> {
        let mut distinct = Vec::new();
        for volume in std::mem::take(&mut self.volumes) {
            if !distinct.contains(&volume) {
                distinct.push(volume);
            }
        }
        self.volumes = distinct;
        let volumes = self.volumes.iter().map(|volume| (volume.target.as_str(), volume.to_string()));
        let mounts =
            self.mounts.iter().map(|mount| (mount.target.as_str(), without_passwords_of_mounts(&mount.to_string())));
        let tmpfs = self.tmpfs.iter().map(|(target, _)| (target.as_str(), format!("a tmpfs at {target}")));
        let mut places: HashMap<String, String> = HashMap::new();
        for (target, thing) in volumes.chain(mounts).chain(tmpfs) {
            let target = target.trim_end_matches('/').to_owned();
            if let Some(first) = places.insert(target.clone(), thing.clone()) {
                return Err(ArgumentError::MountedTwice { target, first, second: thing });
            }
        }
        Ok(())
    }
}
