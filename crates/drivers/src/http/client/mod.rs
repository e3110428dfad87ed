//! An HTTP/1 client for cameras: one request at a time over a connection that is kept where it can be.
//!
//! [`connect`] reaches a server, [`connection`] sends requests and reads heads, [`response`] reads bodies. How HTTP is
//! written and read is the business of [`http1`](crate::http1); logins, redirects and cookies are that of the session.

mod connect;
mod connection;
mod fault;
mod response;

pub(super) use fault::Fault;
pub(super) use response::Response;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use url::Url;

use self::connect::connect;
use self::connection::Connection;
use super::place::Reach;

/// One GET.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    /// Where the connection may lead.
    pub(super) reach: Reach,
    /// Header names and values beside those that every request has.
    pub(super) headers: &'a [(&'static str, String)],
}

/// A client with at most one connection that waits for its next request.
pub(super) struct Client {
    connect_timeout: Duration,
    /// For `https:`; made when it is first needed.
    tls: Option<Arc<ClientConfig>>,
    kept: Option<Kept>,
    /// The answer before, whose body may still be coming; asked for its connection when the next request is made.
    last: Option<Response>,
}

/// A connection and the server that it leads to.
struct Kept {
    origin: url::Origin,
    connection: Connection,
}

impl Client {
    pub(super) fn new(connect_timeout: Duration) -> Self {
        Self { connect_timeout, tls: None, kept: None, last: None }
    }

    /// Whether TLS is set up.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The TLS of all connections to come.
    pub(super) fn set_tls(&mut self, config: ClientConfig) {
        self.tls = Some(Arc::new(config));
    }

    /// Takes back an answer that is no longer read, for its connection.
    pub(super) fn give_back(&mut self, response: Response) {
        self.last = Some(response);
    }

    /// Sends `request` and reads the head of its answer.
    ///
    /// A kept connection may have been closed meanwhile, or have bytes left over from the answer before: whatever is
    /// odd about it is tried once more on a new connection.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn get(&mut self, request: &Request<'_>) -> Result<Response, Fault> {
        if let Some(last) = self.last.take() {
            self.kept = last.into_kept().map(|(origin, connection)| Kept { origin, connection });
        }
        let origin = request.url.origin();
        if let Some(Kept { mut connection, .. }) =
            self.kept.take_if(|kept| kept.origin == origin && request.reach.allows(kept.connection.address()))
        {
            match connection.ask(request).await {
                Ok(head) => return Ok(Response::new(origin, connection, head)),
                Err(fault) => tracing::debug!(%fault, "asking again on a new connection"),
            }
        }
        self.kept = None;
        let mut connection = connect(request, self.connect_timeout, self.tls.as_ref()).await?;
        let head = connection.ask(request).await?;
        Ok(Response::new(origin, connection, head))
    }
}
