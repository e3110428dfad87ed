//! Turns a URL into a connection: resolves the host name, tries its addresses, and does the TLS handshake for `https:`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::connection::{Connection, Wire};
use super::{Request, RequestError};

/// How long to wait for a connection to one address of a host before also trying the next address (RFC 8305 §5).
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The maximum number of addresses tried for one host name.
const MAX_ADDRESSES: usize = 16;

/// Connects to the server of `request`. Gives up after `limit`.
pub(super) async fn connect(
    request: &Request<'_>,
    limit: Duration,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, RequestError> {
    timeout(limit, open_connection(request, tls)).await.map_err(|_| RequestError::ConnectTimedOut)?
}

async fn open_connection(
    request: &Request<'_>,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, RequestError> {
    let url = request.url;
    let found = addresses(url).await?;
    let allowed: Vec<SocketAddr> =
        found.into_iter().filter(|address| request.policy.allows(address.ip())).collect();
    if allowed.is_empty() {
        return Err(RequestError::Forbidden);
    }
    let tcp = connect_first(allowed).await?;
    let address = tcp.peer_addr()?.ip();
    // A request is one small write, and must not wait for the acknowledgement of the previous one.
    tcp.set_nodelay(true)?;
    let wire: Box<dyn Wire> = match tls.filter(|_| url.scheme() == "https") {
        None => Box::new(tcp),
        Some(config) => {
            let name =
                ServerName::try_from(url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned())
                    .map_err(|_| RequestError::NoSuchHost)?;
            let connector = TlsConnector::from(Arc::clone(config));
            Box::new(connector.connect(name, tcp).await.map_err(RequestError::from_handshake)?)
        }
    };
    Ok(Connection::new(wire, address))
}

/// Returns the addresses of the URL's host, in the order in which the system prefers them.
async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, RequestError> {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Ipv6(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => {
            let found = lookup_host((name, port)).await.map_err(|_| RequestError::NoSuchHost)?;
            let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
            if found.is_empty() { Err(RequestError::NoSuchHost) } else { Ok(found) }
        }
        None => Err(RequestError::NoSuchHost),
    }
}

/// Returns the first connection that succeeds. Each attempt starts [`CONNECTION_ATTEMPT_DELAY`] after the start of the
/// previous one.
async fn connect_first(addresses: Vec<SocketAddr>) -> Result<TcpStream, RequestError> {
    let mut attempts: FuturesUnordered<_> = (0u32..)
        .zip(addresses)
        .map(|(number, address)| async move {
            sleep(CONNECTION_ATTEMPT_DELAY * number).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut first_error = None;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(tcp) => return Ok(tcp),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(match first_error {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => RequestError::Refused,
        Some(error) => RequestError::Io(error),
        None => RequestError::NoSuchHost,
    })
}
