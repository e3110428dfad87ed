//! One connection to a server: sends requests, and reads the heads of responses and the bytes of their bodies.

use std::io;
use std::net::IpAddr;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Request, RequestError};
use crate::http1::{Head, HeadReader};

/// The buffer size for one read. Most pictures need one or two reads.
const READ_BYTES: usize = 64 * 1024;

/// The maximum number of interim responses (1xx) that a server is allowed to send before its final response.
const MAX_INTERIM_RESPONSES: usize = 8;

const USER_AGENT: &str = concat!("framecast/", env!("CARGO_PKG_VERSION"));

/// The byte stream under a connection: TCP, either plain or with TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// An open connection. Dropping it closes the connection.
pub(super) struct Connection {
    wire: Box<dyn Wire>,
    address: IpAddr,
    /// Bytes that were read from the connection but not yet taken as part of a response.
    pub(super) buf: BytesMut,
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
    pub(super) async fn fill(&mut self) -> Result<usize, RequestError> {
        self.buf.reserve(READ_BYTES);
        match self.wire.read_buf(&mut self.buf).await {
            // The server closed TLS without a close_notify alert; the picture itself shows whether it is complete.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read.map_err(RequestError::from_tls),
        }
    }

    /// Returns whether the connection is open and no bytes follow the response that was read.
    pub(super) fn is_idle(&mut self) -> bool {
        self.buf.is_empty() && self.fill().now_or_never().is_none()
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
