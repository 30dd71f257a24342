//! TLS: a certificate and its key from files, read again when they change.

mod names;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use self::watch::{Stamps, stamps};
use crate::config::ServerError;

/// Where the certificate and its key are, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those of its issuers up to a root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The certificate in force. Clones share it.
#[derive(Clone)]
pub(crate) struct Tls {
    files: TlsFiles,
    /// How the files were before they were read first.
    seen: Stamps,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ServerError::Tls`] that names the file which cannot be used.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, ServerError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let seen = stamps(&files);
        let current = Arc::new(Current(RwLock::new(Arc::new(read(&files, &provider)?))));
        let refused = |error: rustls::Error| unusable(&files.certificate, &error);
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { files, seen, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// What makes a connection a TLS one, with the certificate in force at that moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Reads the files again. Where they cannot be used the certificate in force stays.
    fn reload(&self) -> Result<(), ServerError> {
        let renewed = read(&self.files, &rustls::crypto::ring::default_provider())?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Gives each connection the certificate in force.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, ServerError> {
    let of_certificate = |why: &dyn fmt::Display| unusable(&files.certificate, why);
    let of_key = |why: &dyn fmt::Display| unusable(&files.key, why);
    let text = std::fs::read(&files.certificate).map_err(|error| of_certificate(&error))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| of_certificate(&error))?;
    if chain.is_empty() {
        return Err(of_certificate(&"it holds no PEM certificate"));
    }
    let text = std::fs::read(&files.key).map_err(|error| of_key(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if matches!(error, rustls::pki_types::pem::Error::NoItemsFound) {
            return of_key(&"it holds no PEM private key without a password");
        }
        of_key(&error)
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        if let rustls::Error::InvalidCertificate(why) = error {
            return of_certificate(&format_args!("{why:?}"));
        }
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            return of_key(&format_args!("it is not the key of the certificate {}", files.certificate.display()));
        }
        of_key(&error)
    })
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> ServerError {
    ServerError::Tls { path: path.to_owned(), reason: why.to_string() }
}
