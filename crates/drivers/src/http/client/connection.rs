//! One connection to a server: sends requests, and reads the responses, each as its head and then its body in pieces.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::{Request, RequestError};
use crate::http1::{Body, Head, HeadReader};

/// The buffer size for one read. Most pictures need one or two reads.
const READ_BYTES: usize = 64 * 1024;

/// The maximum number of interim responses (1xx) that a server is allowed to send before its final response.
const MAX_INTERIM_RESPONSES: usize = 8;

/// The maximum number of bytes of a body that are read and discarded so that the connection can be reused.
const MAX_DRAINED_BYTES: usize = 64 * 1024;

/// How long the client waits for more bytes after a stream has reached its declared length. Most servers that declare a
/// length for a stream invent it, so the stream is not considered ended before this pause is over.
const DECLARED_END_GRACE: Duration = Duration::from_millis(500);

const USER_AGENT: &str = concat!("framecast/", env!("CARGO_PKG_VERSION"));

/// The byte stream under a connection: TCP, either plain or with TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// An open connection. Dropping it closes the connection.
pub(super) struct Connection {
    wire: Box<dyn Wire>,
    address: IpAddr,
    /// Bytes that were read from the connection but not yet taken as part of a response.
    buf: BytesMut,
}

impl Connection {
    pub(super) fn new(wire: Box<dyn Wire>, address: IpAddr) -> Self {
        Self { wire, address, buf: BytesMut::new() }
    }

    /// Returns the IP address of the server.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Sends `request` and reads the head of the final response, skipping interim responses.
    pub(super) async fn send_request(&mut self, request: &Request<'_>) -> Result<Head, RequestError> {
        self.wire.write_all(request_head(request).as_bytes()).await?;
        self.wire.flush().await?;
        for _ in 0..=MAX_INTERIM_RESPONSES {
            let head = self.read_head().await?;
            if head.status() >= 200 {
                return Ok(head);
            }
        }
        Err(RequestError::Endless1xx)
    }

    async fn read_head(&mut self) -> Result<Head, RequestError> {
        let mut reader = HeadReader::default();
        loop {
            if let Some((head, len)) = reader.read(&self.buf)? {
                let _ = self.buf.split_to(len);
                return Ok(head);
            }
            if self.fill().await? == 0 {
                return Err(RequestError::ClosedEarly);
            }
        }
    }

    /// Waits for bytes, reads them into the buffer and returns their number; 0 means the end of the connection. Cancel
    /// safe.
    async fn fill(&mut self) -> Result<usize, RequestError> {
        self.buf.reserve(READ_BYTES);
        read_wire(&mut self.wire, &mut self.buf).await
    }

    /// Does what [`fill`](Self::fill) does, but reads into `room` past the buffer, which must be empty. The buffer's
    /// memory is freed.
    async fn fill_room(&mut self, mut room: impl BufMut) -> Result<usize, RequestError> {
        self.buf = BytesMut::new();
        read_wire(&mut self.wire, &mut room).await
    }

    /// Returns whether the connection is open and no bytes follow the response that was read.
    fn is_idle(&mut self) -> bool {
        self.buf.is_empty() && self.fill().now_or_never().is_none()
    }
}

async fn read_wire(wire: &mut Box<dyn Wire>, room: &mut impl BufMut) -> Result<usize, RequestError> {
    match wire.read_buf(room).await {
        // The server closed TLS without a close_notify alert; the picture itself shows whether it is complete.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read.map_err(RequestError::from_tls),
    }
}

/// What [`Response::read`] has read.
pub(in crate::http) enum Piece {
    /// The next bytes of the body were written into the room.
    Written,
    /// The next bytes of the body. Nothing was written.
    Bytes(Bytes),
    /// The body has ended.
    End,
}

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
                return self.close();
            }
        }
    }

    /// Reads the next bytes of the body. If each byte that arrives belongs to the body, reads them into `room`;
    /// otherwise, does what [`chunk`](Self::chunk) does. `room` must not be full. Cancel safe.
    ///
    /// # Errors
    /// Those of [`chunk`](Self::chunk).
    pub(in crate::http) async fn read(&mut self, room: impl BufMut) -> Result<Piece, RequestError> {
        let plain_bytes = self.body.plain_bytes();
        if self.has_ended || !self.connection.buf.is_empty() || plain_bytes == 0 {
            return Ok(self.chunk().await?.map_or(Piece::End, Piece::Bytes));
        }
        let read_bytes = self.connection.fill_room(room.limit(plain_bytes)).await?;
        if read_bytes == 0 {
            return Ok(self.close()?.map_or(Piece::End, Piece::Bytes));
        }
        self.body.skip_plain(read_bytes);
        Ok(Piece::Written)
    }

    /// Ends the body because the connection has ended. Returns the last bytes of the body, if any were held back.
    fn close(&mut self) -> Result<Option<Bytes>, RequestError> {
        self.has_ended = true;
        if self.body.is_cut_by_close() {
            return Err(RequestError::CutOff);
        }
        Ok(self.body.close(&mut self.connection.buf))
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

/// Returns the head of `request` as text. Line ends in header values are removed, and the URL contains none.
fn request_head(request: &Request<'_>) -> String {
    let url = request.url;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut head = format!(
        "GET {}{query} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n",
        url.path()
    );
    for (name, value) in request.headers {
        head.push_str(name);
        head.push_str(": ");
        head.extend(value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')));
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}
