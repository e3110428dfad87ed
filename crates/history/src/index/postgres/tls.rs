//! TLS for connections to PostgreSQL: what `tokio-postgres` needs from rustls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use framecast_tls::{Authorities, AuthoritiesError, unverified};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::certificate_hash::certificate_hash;
use super::encryption::{Roots, Trust};
use crate::postgres_error::HandshakeError;

/// Makes the TLS connections to a database.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

impl Connector {
    /// Reads the certificates of the authorities. Blocks for some milliseconds.
    ///
    /// # Errors
    /// There are no such certificates.
    pub(super) fn new(trust: &Trust) -> Result<Self, AuthoritiesError> {
        let authorities = |roots: &Roots| match roots {
            Roots::System => Authorities::of_system(),
            Roots::File(path) => Authorities::in_file(path),
        };
        let config = match trust {
            Trust::Any => unverified(),
            Trust::Chain(roots) => authorities(roots)?.ignoring_name(),
            Trust::Name(roots) => authorities(roots)?.checking_name(),
        };
        Ok(Self(Arc::new(config)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = TlsStream<S>;
    type TlsConnect = Handshake;
    type Error = HandshakeError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, HandshakeError> {
        Ok(Handshake { config: Arc::clone(&self.0), host: host.to_owned() })
    }
}

/// A handshake with a server that is about to begin.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    host: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = TlsStream<S>;
    type Error = HandshakeError;
    type Future = BoxFuture<'static, Result<TlsStream<S>, HandshakeError>>;

    fn connect(self, socket: S) -> Self::Future {
        async move {
            let invalid = |error| HandshakeError::new(io::Error::new(io::ErrorKind::InvalidInput, error));
            let name = ServerName::try_from(self.host).map_err(invalid)?;
            let connected = TlsConnector::from(self.config).connect(name, socket).await;
            connected.map(TlsStream).map_err(HandshakeError::new)
        }
        .boxed()
    }
}

/// A TLS connection to a database.
pub(super) struct TlsStream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for TlsStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates().unwrap_or_default();
        let hash = certificates.first().and_then(|certificate| certificate_hash(certificate));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
