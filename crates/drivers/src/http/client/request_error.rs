//! The reasons why a request got no response or only part of one, with advice for the user.

use std::io;

use rustls::{AlertDescription, InvalidMessage};

use crate::http1;

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum RequestError {
    /// No connection was established within the time limit.
    #[error("the server did not accept the connection in time")]
    ConnectTimedOut,
    /// The host name has no address.
    #[error("no such host; check the name, or write the camera's IP address")]
    NoSuchHost,
    /// No program listens on the URL's port.
    #[error(
        "connection refused; no program listens at that port: check that the camera is on and that the port is right"
    )]
    Refused,
    /// A redirect leads to a forbidden address.
    #[error(
        "a redirect leads to a loopback or link-local address; Framecast does not follow such a redirect"
    )]
    Forbidden,
    /// The connection failed.
    #[error("{}", io_message(.0))]
    Io(#[from] io::Error),
    /// The server closed the connection before it sent a response head.
    #[error("the server closed the connection without an answer")]
    ClosedEarly,
    /// The server closed the connection before the end of the response body.
    #[error("the server closed the connection in the middle of its answer")]
    CutOff,
    /// The response is not HTTP.
    #[error("{}", http_message(.0))]
    Http(#[from] http1::Error),
    /// The server sends one interim response (status 1xx) after another, and no final one.
    #[error("the server sends only interim answers (status 1xx) and no final answer")]
    Endless1xx,
    /// The server closed the connection during the TLS handshake.
    #[error(
        "the server closed the connection during the TLS handshake; if its TLS is older than 1.2, read it with curl: \
         `exec:curl -sSkN --tlsv1.0 --ciphers DEFAULT@SECLEVEL=0 ADDRESS`"
    )]
    TlsHungUp,
    /// TLS failed.
    #[error("{}", tls_message(.0))]
    Tls(rustls::Error),
}

impl RequestError {
    /// Converts an I/O error of a TLS connection, separating errors of TLS from those of the TCP connection under it.
    pub(super) fn from_tls(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Io(error),
        }
    }

    /// Returns whether the server closed the connection, as busy servers do.
    pub(in crate::http) fn is_hang_up(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match self {
            Self::ClosedEarly | Self::CutOff | Self::TlsHungUp => true,
            Self::Io(error) => matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset),
            _ => false,
        }
    }

    /// Returns the message for a request to a redirect's target, which is not the source's URL. The message omits the
    /// part after the first semicolon, which is advice on how to write the source's URL. Advice about certificates is
    /// kept, because it applies to every address.
    pub(in crate::http) fn redirected_message(&self) -> String {
        let mut words = self.to_string();
        if !matches!(self, Self::Tls(rustls::Error::InvalidCertificate(_))) {
            words.truncate(words.find("; ").unwrap_or(words.len()));
        }
        words
    }

    /// Converts an I/O error during the TLS handshake. Unlike [`RequestError::from_tls`], turns an abrupt end of the
    /// connection into [`RequestError::TlsHungUp`], because old servers close the connection where newer ones send an
    /// alert.
    pub(super) fn from_handshake(error: io::Error) -> Self {
        match Self::from_tls(error) {
            Self::Io(error)
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) =>
            {
                Self::TlsHungUp
            }
            fault => fault,
        }
    }
}

fn io_message(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the server reset the connection".to_owned()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the host is unreachable; check that the camera is on this network".to_owned()
        }
        _ => error.to_string(),
    }
}

fn http_message(error: &http1::Error) -> String {
    match error {
        http1::Error::NotHttp { start } if start.starts_with("RTSP/") => {
            "the server speaks RTSP; write rtsp:// in place of http://".to_owned()
        }
        // A TLS record: alert or handshake, of version 3.
        http1::Error::NotHttp { start } if start.starts_with("..") && start.len() <= 7 => {
            "the server speaks TLS here; write https:// in place of http://".to_owned()
        }
        http1::Error::NotHttp { .. } | http1::Error::BadStatus { .. } => format!(
            "{error}; check the port, or read it with curl, which accepts pictures without HTTP: \
             `exec:curl -sSN --http0.9 ADDRESS`"
        ),
        _ => error.to_string(),
    }
}

fn tls_message(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(problem) => format!(
            "the server's certificate is not trusted ({problem}); if this is your own camera, write #insecure at the \
             end of the URL to accept any certificate"
        ),
        E::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS here; try http://".to_owned()
        }
        E::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        )
        | E::PeerIncompatible(_)
        | E::InvalidMessage(_) => {
            "the server's TLS is older than 1.2, which Framecast does not speak; read it with curl: \
             `exec:curl -sSkN --tlsv1.0 --ciphers DEFAULT@SECLEVEL=0 ADDRESS`"
                .to_owned()
        }
        E::AlertReceived(alert) => format!("the server ended the TLS connection with the alert {alert:?}"),
        other => format!("TLS failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_on_the_url_is_left_out_where_another_was_asked() {
        let start = "RTSP/1.0 200 OK".to_owned();
        let faults = [
            (RequestError::from(http1::Error::NotHttp { start }), "the server speaks RTSP"),
            (RequestError::Refused, "connection refused"),
            (RequestError::ClosedEarly, "the server closed the connection without an answer"),
        ];
        for (fault, told) in faults {
            assert_eq!(fault.redirected_message(), told);
        }
        let problem = rustls::CertificateError::Expired;
        let fault = RequestError::Tls(rustls::Error::InvalidCertificate(problem));
        assert!(fault.redirected_message().contains("#insecure"));
    }

    #[test]
    fn what_is_no_http_is_named_for_what_it_is() {
        let told =
            |start: &str| RequestError::from(http1::Error::NotHttp { start: start.to_owned() }).to_string();
        assert!(told("RTSP/1.0 200 OK").contains("rtsp://"));
        assert!(told("......F").contains("https://"));
        assert!(told("SSH-2.0-dropbear").contains("`exec:curl -sSN --http0.9 ADDRESS`"));
    }
}
