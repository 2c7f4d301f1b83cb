//! TLS of the listeners: a certificate and a key in PEM files, read when the listener is opened; clients may have to show
//! a certificate of an authority that is named.
//!
//! Promises: a file that cannot be used is an error that names the file and what was expected of it.
//! Never: offers less than TLS 1.2.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::IngestError;
use super::shown::shown;

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// With these authorities, a client without a certificate of theirs is refused.
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// Reads the files.
    pub fn acceptor(&self) -> Result<TlsAcceptor, IngestError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificates = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| failed(&self.key, format!("expected a private key in PEM: {error}")))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&self.cert, error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in self::certificates(path)? {
                    roots.add(certificate).map_err(|error| failed(path, error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| failed(path, error))?)
            }
        };
        let config = builder.with_single_cert(certificates, key).map_err(|error| {
            failed(&self.key, format!("does not go with the certificate {}: {error}", shown(&self.cert)))
        })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IngestError> {
    let wrong = |error| failed(path, format!("expected certificates in PEM: {error}"));
    let all: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if all.is_empty() {
        return Err(failed(path, "holds no certificate; expected at least one in PEM"));
    }
    Ok(all)
}

fn failed(path: &Path, message: impl std::fmt::Display) -> IngestError {
    IngestError::File { path: shown(path).to_string(), message: message.to_string() }
}
