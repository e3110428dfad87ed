//! Certificates of authorities, read from a file or from the system, and what a client checks with them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::{builder, system_roots};

/// The maximum size of a file of certificates, in bytes. The file with all authorities that browsers trust has about
/// 220,000 bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why no certificates of authorities can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// The file cannot be read, or is no PEM file.
    #[error("cannot read certificates from {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system, or what is wrong in the file.
        source: io::Error,
    },
    /// The file has no certificate that can be used.
    #[error(
        "{} has no certificate that can be used; it must have certificates as PEM, which begin with \
         `-----BEGIN CERTIFICATE-----`",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The system has no certificates of authorities.
    #[error("this system has no root certificates; install the package `ca-certificates`")]
    NoneInSystem,
}

/// Certificates of authorities. A client trusts the servers' certificates that these authorities have signed.
#[derive(Debug)]
pub struct Authorities {
    roots: RootCertStore,
    /// The certificates in the file, in which servers' own certificates can be, too.
    listed: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads the system's certificates of authorities. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`AuthoritiesError::NoneInSystem`].
    pub fn of_system() -> Result<Self, AuthoritiesError> {
        let roots = system_roots();
        if roots.is_empty() {
            return Err(AuthoritiesError::NoneInSystem);
        }
        Ok(Self { roots, listed: Vec::new() })
    }

    /// Reads the certificates in the PEM file `path`. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or has no certificate that can be used.
    pub fn in_file(path: &Path) -> Result<Self, AuthoritiesError> {
        let unreadable = |source| AuthoritiesError::Unreadable { path: path.to_owned(), source };
        let text = read_bounded(path).map_err(unreadable)?;
        let listed: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error.to_string())))?;
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(listed.iter().cloned());
        if ignored > 0 {
            tracing::debug!(ignored, "ignoring certificates in {} that cannot be parsed", path.display());
        }
        if roots.is_empty() {
            return Err(AuthoritiesError::Empty { path: path.to_owned() });
        }
        Ok(Self { roots, listed })
    }

    /// Returns a TLS configuration that trusts the certificates of these authorities for the server's name.
    pub fn checking_name(self) -> ClientConfig {
        self.configured(NameCheck::Checked)
    }

    /// Returns a TLS configuration that trusts the certificates of these authorities, whatever name they are for.
    pub fn ignoring_name(self) -> ClientConfig {
        self.configured(NameCheck::Ignored)
    }

    fn configured(self, name_check: NameCheck) -> ClientConfig {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        builder(provider)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier {
                authorities: self,
                name_check,
                algorithms,
            }))
            .with_no_client_auth()
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, MAX_FILE_BYTES + 1), &mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file has more than 4 MiB"));
    }
    Ok(text)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum NameCheck {
    Checked,
    Ignored,
}

/// Checks that one of the authorities has signed the server's certificate, and perhaps that it is for the server's name.
#[derive(Debug)]
struct Verifier {
    authorities: Authorities,
    name_check: NameCheck,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn check_chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let Authorities { roots, listed } = &self.authorities;
        let checked = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        match checked {
            // `openssl req -x509` makes certificates that sign themselves as an authority. Many servers have one. It
            // can be trusted only if it is in the file itself. The dates were checked before this error.
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(problem))))
                if problem.to_string() == "CaUsedAsEndEntity"
                    && listed.iter().any(|listed| listed == certificate) =>
            {
                Ok(())
            }
            checked => checked,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_chain(end_entity, intermediates, now)?;
        if self.name_check == NameCheck::Checked {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use framecast_testkit::{Authority, ServerCertificate, Validity};

    use super::*;
    use crate::tests::trusts;

    /// Whether a client trusts `certificate` as that of `cam.lan` and, if no names count, of `other.lan`, by a file with
    /// the text `file`.
    fn trusted_by(file: &str, certificate: &ServerCertificate) -> (bool, bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.crt");
        std::fs::write(&path, file).unwrap();
        let read = || Authorities::in_file(&path).unwrap();
        assert!(!trusts(read().checking_name(), certificate, "other.lan"));
        (
            trusts(read().checking_name(), certificate, "cam.lan"),
            trusts(read().ignoring_name(), certificate, "other.lan"),
        )
    }

    #[test]
    fn a_certificate_of_an_authority_in_the_file_is_trusted() {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let both = format!("a text\n{}\nand\n{}", other.certificate(), ours.certificate());
        let made = ours.sign("cam.lan", Validity::Now);
        assert_eq!(trusted_by(&ours.certificate(), &made), (true, true));
        assert_eq!(trusted_by(&both, &made), (true, true));
        assert_eq!(trusted_by(&other.certificate(), &made), (false, false));
        for validity in [Validity::Past, Validity::Future] {
            assert_eq!(trusted_by(&both, &ours.sign("cam.lan", validity)), (false, false), "{validity:?}");
        }
    }

    #[test]
    fn a_certificate_that_signs_itself_is_trusted_only_as_the_one_in_the_file() {
        let own = ServerCertificate::self_signed("cam.lan", Validity::Now);
        let same_name = ServerCertificate::self_signed("cam.lan", Validity::Now);
        assert_eq!(trusted_by(&own.certificate, &own), (true, true));
        assert_eq!(trusted_by(&same_name.certificate, &own), (false, false));
        let old = ServerCertificate::self_signed("cam.lan", Validity::Past);
        assert_eq!(trusted_by(&old.certificate, &old), (false, false));
    }

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.crt");
        let told = || Authorities::in_file(&path).unwrap_err().to_string();
        assert!(told().contains("root.crt: No such file"), "{}", told());
        let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", not_der] {
            std::fs::write(&path, text).unwrap();
            assert!(told().contains("root.crt has no certificate that can be used;"), "{}", told());
        }
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n").unwrap();
        assert!(told().starts_with("cannot read certificates from "), "{}", told());
        std::fs::write(&path, vec![b' '; MAX_FILE_BYTES as usize + 1]).unwrap();
        assert!(told().contains("root.crt: the file has more than 4 MiB"), "{}", told());
    }
}
