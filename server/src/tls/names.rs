//! The names that a certificate is for.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use webpki::EndEntityCert;

use super::Tls;

impl Tls {
    /// Whether clients accept the certificate of a server that they know by `host`, a name or an address.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let current = self.current.get();
        let certificate = current.cert.first().and_then(|first| EndEntityCert::try_from(first).ok());
        let host = ServerName::try_from(host).ok();
        certificate
            .zip(host)
            .is_some_and(|(certificate, host)| certificate.verify_is_valid_for_subject_name(&host).is_ok())
    }

    /// How clients best know a server that listens on `listen`: by that address, if the certificate is for it, else by
    /// the first name in it.
    pub(crate) fn host(&self, listen: IpAddr) -> Option<String> {
        if self.is_for(&listen.to_string()) {
            return Some(listen.to_string());
        }
        let current = self.current.get();
        let certificate = EndEntityCert::try_from(current.cert.first()?).ok()?;
        certificate.valid_dns_names().find(|name| !name.starts_with('*')).map(str::to_owned)
    }
}
