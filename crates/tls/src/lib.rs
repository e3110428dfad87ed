//! TLS configurations: they decide which certificates are trusted.
//!
//! The system's root certificates are trusted, including a certificate authority that a site has installed for its own
//! devices, or the [`Authorities`] in a file. The cryptography provider is `ring`. It is passed explicitly, so no
//! process-wide default is installed.
//!
//! What does not belong here: sockets, and what a URL says about TLS.
#![forbid(unsafe_code)]

mod authorities;

use std::sync::Arc;

pub use authorities::{Authorities, AuthoritiesError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Reads the system's root certificates. Skips certificates that cannot be read.
pub fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("cannot read a system root certificate: {error}");
    }
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::debug!(ignored, "ignoring system root certificates that cannot be parsed");
    }
    roots
}

/// Returns a TLS configuration that trusts the certificates that chain to one of `roots`.
pub fn verified_by(roots: RootCertStore) -> ClientConfig {
    builder(Arc::new(ring::default_provider())).with_root_certificates(roots).with_no_client_auth()
}

/// Returns a TLS configuration that trusts the system's root certificates.
pub fn system_tls() -> ClientConfig {
    verified_by(system_roots())
}

/// Returns a TLS configuration that trusts any certificate. The connection is encrypted, but the server is not
/// authenticated.
pub fn unverified() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    builder(provider)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(schemes)))
        .with_no_client_auth()
}

fn builder(provider: Arc<CryptoProvider>) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
}

/// Accepts every certificate and signature. Where any certificate is accepted, an attacker can sign with the key of its
/// own certificate. Checking the signature would therefore add no safety, only failures with the short keys of old
/// cameras.
#[derive(Debug)]
struct AnyCertificate(Vec<SignatureScheme>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use framecast_testkit::{Authority, ServerCertificate, Validity};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    /// Whether a client with `config` completes a handshake with a server called `name` that has `certificate`.
    pub(crate) fn trusts(config: ClientConfig, certificate: &ServerCertificate, name: &'static str) -> bool {
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der(&certificate.certificate)], key)
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        true
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn a_certificate_is_trusted_through_its_root_and_for_its_name_alone() {
        let authority = Authority::new("the site's authority");
        let made = authority.sign("cam.lan", Validity::Now);
        let mut roots = RootCertStore::empty();
        roots.add(der(&authority.certificate())).unwrap();
        assert!(trusts(verified_by(roots.clone()), &made, "cam.lan"));
        assert!(!trusts(verified_by(roots), &made, "other.lan"));
        assert!(!trusts(verified_by(RootCertStore::empty()), &made, "cam.lan"));
        assert!(trusts(unverified(), &made, "other.lan"));
    }
}
