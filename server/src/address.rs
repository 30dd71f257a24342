//! How clients reach the ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::ServerConfig;
use crate::tls::Tls;

/// Scheme and host of the URLs that clients are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    scheme: &'static str,
    host: String,
}

impl Address {
    /// Finds out by what name clients know the server, and warns where they will not like it.
    pub(crate) fn of(config: &ServerConfig, tls: Option<&Tls>) -> Self {
        let listen = reachable(config.listen);
        let Some(tls) = tls else {
            if !config.listen.is_loopback() {
                tracing::warn!(
                    listen = %config.listen,
                    "other machines can reach this server and nothing is encrypted: credentials and data can be read on \
                     the way; --tls-cert and --tls-key turn TLS on"
                );
            }
            return Self { scheme: "http", host: config.public_name.clone().unwrap_or_else(|| listen.to_string()) };
        };
        let host = config.public_name.clone().or_else(|| tls.host(listen)).unwrap_or_else(|| listen.to_string());
        if !tls.is_for(&host) {
            tracing::warn!(host, "the certificate is not for this name: clients will refuse it; see --public-name");
        }
        Self { scheme: "https", host }
    }

    /// The URL of one port.
    pub(crate) fn url(&self, port: u16) -> String {
        let Self { scheme, host } = self;
        if host.parse::<Ipv6Addr>().is_ok() {
            return format!("{scheme}://[{host}]:{port}");
        }
        format!("{scheme}://{host}:{port}")
    }
}

/// "Any address" is no address that a client can use.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_that_clients_can_use() {
        for (listen, url) in [
            ("127.0.0.1", "http://127.0.0.1:1"),
            ("0.0.0.0", "http://127.0.0.1:1"),
            ("::", "http://[::1]:1"),
            ("2001:db8::7", "http://[2001:db8::7]:1"),
        ] {
            let config = ServerConfig { listen: listen.parse().unwrap(), ..ServerConfig::new("d") };
            assert_eq!(Address::of(&config, None).url(1), url);
        }
    }
}
