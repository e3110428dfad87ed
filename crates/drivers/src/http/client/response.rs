//! An HTTP response: its head, and its body in pieces.

use std::net::IpAddr;
use std::time::Duration;

use framecast_media::Bytes;
use futures_util::FutureExt;

use tokio::time::{Instant, timeout_at};

use super::RequestError;
use super::connection::Connection;
use crate::http1::{Body, Head};

/// The maximum number of bytes of a body that are read and discarded so that the connection can be reused.
const MAX_DRAINED_BYTES: usize = 64 * 1024;

/// How long the client waits for more bytes after a stream has reached its declared length. Most servers that declare a
/// length for a stream invent it, so the stream is not considered ended before this pause is over.
const DECLARED_END_GRACE: Duration = Duration::from_millis(500);

/// A response whose head has arrived. Dropping the response closes its connection.
pub(in crate::http) struct Response {
    origin: url::Origin,
    connection: Connection,
    head: Head,
    body: Body,
    has_ended: bool,
    /// When the stream is considered ended if no more bytes arrive. Set once a stream has reached its declared length.
    grace_ends_at: Option<Instant>,
}

impl Response {
    pub(super) fn new(origin: url::Origin, connection: Connection, head: Head) -> Self {
        let body = Body::new(&head);
        Self { origin, connection, head, body, has_ended: false, grace_ends_at: None }
    }

    /// Returns the response's status and headers.
    pub(in crate::http) fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the IP address of the server that responded.
    pub(in crate::http) fn address(&self) -> IpAddr {
        self.connection.address()
    }

    /// Returns whether the head declares the length of the body in bytes.
    pub(in crate::http) fn has_length(&self) -> bool {
        self.body.has_length()
    }

    /// Returns whether a stream has reached its declared length and no further byte has arrived yet.
    pub(in crate::http) fn is_at_declared_end(&self) -> bool {
        self.body.is_at_declared_end() && self.connection.buf.is_empty()
    }

    /// Returns whether the whole body has arrived.
    pub(in crate::http) fn is_done(&self) -> bool {
        self.has_ended || self.body.is_done()
    }

    /// Returns the next piece of the body; `None` at the end of the body. Cancel safe.
    ///
    /// # Errors
    /// [`RequestError::CutOff`] if the connection ends before the body does, and the errors of the connection.
    pub(in crate::http) async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            if self.has_ended {
                return Ok(None);
            }
            if let Some(bytes) = self.body.decode(&mut self.connection.buf)? {
                return Ok(Some(bytes));
            }
            if self.body.is_done() {
                return Ok(None);
            }
            let read_bytes = if self.body.is_at_declared_end() {
                let ends = *self.grace_ends_at.get_or_insert_with(|| Instant::now() + DECLARED_END_GRACE);
                timeout_at(ends, self.connection.fill()).await.unwrap_or(Ok(0))?
            } else {
                self.connection.fill().await?
            };
            if read_bytes == 0 {
                self.has_ended = true;
                if self.body.is_cut_by_close() {
                    return Err(RequestError::CutOff);
                }
                return Ok(self.body.close(&mut self.connection.buf));
            }
        }
    }

    /// Returns the server's origin and the connection, for the next request. Returns `None` if the end of the response
    /// has not arrived yet, or if the connection cannot be reused.
    pub(super) fn into_idle_connection(mut self) -> Option<(url::Origin, Connection)> {
        let mut drained_bytes = 0;
        while !self.is_done() {
            let piece = self.chunk().now_or_never()?.ok()?;
            drained_bytes += piece.map_or(0, |piece| piece.len());
            if drained_bytes > MAX_DRAINED_BYTES {
                return None;
            }
        }
        let is_keep_alive = if self.head.is_http_1_0() {
            self.head.has_word("Connection", "keep-alive")
        } else {
            !self.head.has_word("Connection", "close")
        };
        // Bytes after the end of a response belong to no request: the declared length was wrong.
        let is_usable = is_keep_alive && !self.has_ended && self.connection.is_idle();
        is_usable.then_some((self.origin, self.connection))
    }
}
