//! What an error of PostgreSQL means.

use std::error::Error as StdError;
use std::{fmt, io};

use tokio_postgres::error::SqlState;
use tokio_rustls::rustls::{self, CertificateError};

/// Why the handshake of a TLS connection failed.
#[derive(Debug)]
pub(crate) struct HandshakeError(io::Error);

impl HandshakeError {
    pub(crate) fn new(error: io::Error) -> Self {
        Self(error)
    }

    fn tls_error(&self) -> Option<&rustls::Error> {
        self.0.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// Returns whether a later attempt can succeed. This machine's clock, or the server's certificate, may be about to
    /// be set right.
    fn is_transient(&self) -> bool {
        use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        let is_about_time = |error: &rustls::Error| {
            matches!(
                error,
                rustls::Error::InvalidCertificate(
                    Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
                )
            )
        };
        self.tls_error().is_none_or(is_about_time)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateError as E;
        let Some(rustls::Error::InvalidCertificate(error)) = self.tls_error() else {
            return write!(f, "{}", self.0);
        };
        f.write_str("the server's certificate is not trusted: ")?;
        match error {
            E::UnknownIssuer => f.write_str(
                "its authority is unknown; name the file with the authority's certificate in the address: \
                 sslrootcert=FILE",
            ),
            E::NotValidForName | E::NotValidForNameContext { .. } => write!(
                f,
                "{error}; write a host name of the certificate into the address, or sslmode=verify-ca, which does not \
                 check the name"
            ),
            E::Expired | E::ExpiredContext { .. } => {
                f.write_str("it has expired; renew it, or check this machine's clock")
            }
            E::NotValidYet | E::NotValidYetContext { .. } => {
                f.write_str("it is not valid yet; check this machine's clock")
            }
            other => write!(f, "{other}; give the server another certificate"),
        }
    }
}

impl StdError for HandshakeError {}

/// Returns whether a later attempt can succeed although nobody changes anything on this machine.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    match (error.code(), cause::<HandshakeError>(error)) {
        // Class 08 is connection errors, 53 is missing resources, 57 is a server that stops or starts.
        (Some(code), _) => ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)),
        (None, Some(handshake)) => handshake.is_transient(),
        (None, None) => {
            error.is_closed()
                || cause::<io::Error>(error).is_some()
                || error.to_string().starts_with("timeout")
        }
    }
}

/// Returns whether a connection with TLS failed so that one without TLS might succeed: the handshake failed, or the
/// server's `pg_hba.conf` allows no such connection.
pub(crate) fn is_refusal_of_tls(error: &tokio_postgres::Error) -> bool {
    cause::<HandshakeError>(error).is_some()
        || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// Returns the first cause of `error` that is an `E`.
fn cause<E: StdError + 'static>(error: &tokio_postgres::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(found) = source.downcast_ref() {
            return Some(found);
        }
        cause = source.source();
    }
    None
}

/// Returns the text of a PostgreSQL error, followed by the texts of its causes. The error's own text does not say what
/// happened.
pub(crate) fn with_causes(error: &tokio_postgres::Error) -> String {
    let text = error.to_string().replacen("error connecting to server", "cannot connect", 1);
    let mut text = text.replacen("error performing TLS handshake", "cannot connect with TLS", 1);
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    if text.contains("password missing") {
        text.push_str("; set FRAMECAST_HISTORY_PASSWORD");
    }
    if text.contains("server does not support TLS") {
        text.push_str("; turn TLS on in the server (ssl = on), or write sslmode=prefer into the address");
    }
    text
}
