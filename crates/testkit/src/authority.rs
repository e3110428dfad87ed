//! Certificates for the TLS servers of tests.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

/// An authority that signs the certificates of servers. Nobody trusts it until told.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The certificate of a server, and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validity {
    /// It is valid now.
    Now,
    /// It was valid long ago.
    Past,
    /// It will be valid in a far year.
    Future,
}

impl Authority {
    /// Makes an authority called `name`.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names are valid names");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("an authority signs itself"))
    }

    /// Returns the authority's own certificate as PEM.
    pub fn certificate(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// Makes a certificate for the server called `name`, a host name or an address.
    pub fn sign(&self, name: &str, validity: Validity) -> ServerCertificate {
        let key = key();
        let signed = params(name, validity).signed_by(&key, &self.0).expect("an authority signs");
        ServerCertificate { certificate: pem("CERTIFICATE", signed.der()), key: key_pem(&key) }
    }
}

impl ServerCertificate {
    /// Makes a certificate for the server called `name` that signs itself, as an authority, as `openssl req -x509` does.
    pub fn self_signed(name: &str, validity: Validity) -> Self {
        let key = key();
        let mut params = params(name, validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = params.self_signed(&key).expect("a key signs itself");
        Self { certificate: pem("CERTIFICATE", signed.der()), key: key_pem(&key) }
    }
}

fn params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a host name");
    (params.not_before, params.not_after) = match validity {
        Validity::Now => (params.not_before, params.not_after),
        Validity::Past => (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1)),
        Validity::Future => (date_time_ymd(2201, 1, 1), date_time_ymd(2202, 1, 1)),
    };
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn key_pem(key: &KeyPair) -> String {
    pem("PRIVATE KEY", &key.serialize_der())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
