//! An HTTP/1 client for cameras. The client sends one request at a time and reuses its connection if possible.
//!
//! [`connect`] reaches a server, [`connection`] sends requests and reads the responses. [`http1`](crate::http1) parses
//! HTTP. The session of a source, which uses this client, adds logins, redirects and cookies.

mod connect;
mod connection;
mod request_error;

pub(super) use connection::{Piece, Response};
pub(super) use request_error::RequestError;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use url::Url;

use self::connect::connect;
use self::connection::Connection;
use super::address_policy::AddressPolicy;

/// A GET request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    /// The rule for the addresses to which the connection is allowed to lead.
    pub(super) policy: AddressPolicy,
    /// The names and values of additional headers. Headers that every request has are not included.
    pub(super) headers: &'a [(&'static str, String)],
}

/// A client with at most one idle connection.
pub(super) struct HttpClient {
    connect_timeout: Duration,
    /// The TLS configuration for `https:`; `None` until the first `https:` URL is requested.
    tls: Option<Arc<ClientConfig>>,
    idle: Option<IdleConnection>,
    /// The previous response, whose body may still be arriving. The next request reuses that response's connection if
    /// possible.
    last: Option<Response>,
}

/// An idle connection and the server to which it leads.
struct IdleConnection {
    origin: url::Origin,
    connection: Connection,
}

impl HttpClient {
    pub(super) fn new(connect_timeout: Duration) -> Self {
        Self { connect_timeout, tls: None, idle: None, last: None }
    }

    /// Returns whether a TLS configuration is set.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Sets the TLS configuration of all future connections.
    pub(super) fn set_tls(&mut self, config: ClientConfig) {
        self.tls = Some(Arc::new(config));
    }

    /// Takes back a response that the caller has finished reading, so that the next request can reuse the connection.
    pub(super) fn recycle(&mut self, response: Response) {
        self.last = Some(response);
    }

    /// Sends `request` and reads the head of the response.
    ///
    /// The server may have closed an idle connection in the meantime, or left bytes of the previous response on it.
    /// Therefore, after any error on a reused connection, the client retries once on a new one.
    ///
    /// # Errors
    /// Why no response was received.
    pub(super) async fn get(&mut self, request: &Request<'_>) -> Result<Response, RequestError> {
        if let Some(last) = self.last.take() {
            self.idle =
                last.into_idle_connection().map(|(origin, connection)| IdleConnection { origin, connection });
        }
        let origin = request.url.origin();
        if let Some(IdleConnection { mut connection, .. }) = self
            .idle
            .take_if(|idle| idle.origin == origin && request.policy.allows(idle.connection.address()))
        {
            match connection.send_request(request).await {
                Ok(head) => return Ok(Response::new(origin, connection, head)),
                Err(fault) => {
                    tracing::debug!(%fault, "request failed on the kept connection; asking again on a new one")
                }
            }
        }
        self.idle = None;
        let mut connection = connect(request, self.connect_timeout, self.tls.as_ref()).await?;
        let head = connection.send_request(request).await?;
        Ok(Response::new(origin, connection, head))
    }
}
