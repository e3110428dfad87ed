//! An HTTP/1 client for cameras: one request at a time over a connection that it reuses if possible.
//!
//! [`connect`] reaches a server, [`connection`] sends requests and reads heads, [`response`] reads bodies.
//! [`http1`](crate::http1) parses HTTP; the session adds logins, redirects and cookies.

mod connect;
mod connection;
mod request_error;
mod response;

pub(super) use request_error::RequestError;
pub(super) use response::Response;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use url::Url;

use self::connect::connect;
use self::connection::Connection;
use super::address_policy::AddressPolicy;

/// One GET.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    /// The addresses to which the connection may lead.
    pub(super) policy: AddressPolicy,
    /// Header names and values, in addition to those of every request.
    pub(super) headers: &'a [(&'static str, String)],
}

/// A client with at most one idle connection.
pub(super) struct HttpClient {
    connect_timeout: Duration,
    /// For `https:`; made when first needed.
    tls: Option<Arc<ClientConfig>>,
    idle: Option<IdleConnection>,
    /// The previous answer, whose body may still be arriving; the next request takes its connection.
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

    /// Whether TLS is set up.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Sets the TLS configuration of all later connections.
    pub(super) fn set_tls(&mut self, config: ClientConfig) {
        self.tls = Some(Arc::new(config));
    }

    /// Returns an answer that nobody reads any more, so that its connection can be reused.
    pub(super) fn recycle(&mut self, response: Response) {
        self.last = Some(response);
    }

    /// Sends `request` and reads the head of its answer.
    ///
    /// The server may have closed an idle connection meanwhile, or left bytes of the previous answer on it. So after
    /// any error on such a connection, the client retries once on a new one.
    ///
    /// # Errors
    /// Why there is no answer.
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
                Err(fault) => tracing::debug!(%fault, "asking again on a new connection"),
            }
        }
        self.idle = None;
        let mut connection = connect(request, self.connect_timeout, self.tls.as_ref()).await?;
        let head = connection.send_request(request).await?;
        Ok(Response::new(origin, connection, head))
    }
}
