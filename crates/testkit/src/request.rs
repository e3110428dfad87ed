//! An async HTTP client that sends requests as raw bytes, so that tests can also send malformed requests.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::soon;

/// The maximum number of bytes that are read of a response. The rest of a larger response is ignored.
const MAX_RESPONSE_BYTES: u64 = 64 << 20;

/// An HTTP response that has been read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head of the response as text: the status line and the headers.
    pub head: String,
    /// The body of the response: the bytes after the head.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of the first header called `name`, or `None` if there is none. The case of `name` does not
    /// matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a GET request for `target`, the path and query, on a new connection, and returns the response.
///
/// # Errors
/// The socket fails, or the response has no complete head ([`io::ErrorKind::UnexpectedEof`]).
///
/// # Panics
/// If the response takes more than a minute.
pub async fn get(address: SocketAddr, target: &str) -> io::Result<Response> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    send_request(address, request.as_bytes()).await
}

/// Sends the bytes in `request` on a new connection, reads until the server closes the connection, and returns the
/// response.
///
/// # Errors
/// The socket fails, or the response has no complete head ([`io::ErrorKind::UnexpectedEof`]).
///
/// # Panics
/// If the response takes more than a minute.
pub async fn send_request(address: SocketAddr, request: &[u8]) -> io::Result<Response> {
    soon("the whole response", exchange(address, request)).await
}

async fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut bytes = Vec::new();
    // A server that closes before it has read the whole request resets the connection after its response.
    let read = (&mut stream).take(MAX_RESPONSE_BYTES).read_to_end(&mut bytes).await;
    match Response::parse(&bytes) {
        Some(answer) => Ok(answer),
        None => read.and(Err(io::ErrorKind::UnexpectedEof.into())),
    }
}

impl Response {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = head_end(bytes)?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some(Self { status: status(&head)?, head, body: bytes[end..].to_vec() })
    }
}

/// Returns the position of the first byte after the response head in `bytes`, or `None` if the head is not complete.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Returns the status code in the response head `head`, or `None` if the head is malformed.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.get(..3)?.parse().ok()
}

/// Returns the value of the first header called `name` in the response head `head`, or `None` if there is none. The
/// case of `name` does not matter.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}
