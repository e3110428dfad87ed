//! Requests as raw bytes on a socket, so that tests can send malformed ones too.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The maximum size of an answer; a larger one is a fault of the server.
const MAX_RESPONSE_BYTES: u64 = 64 << 20;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head as text: status line and headers.
    pub head: String,
    /// The bytes after the head.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The answer to GET `target`.
///
/// # Errors
/// Those of the socket, or that the answer has no head.
pub async fn get(address: SocketAddr, target: &str) -> io::Result<Response> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    send_request(address, request.as_bytes()).await
}

/// The answer to the bytes in `request`, up to the end of the connection.
///
/// # Errors
/// Those of the socket, or that the answer has no head.
pub async fn send_request(address: SocketAddr, request: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut bytes = Vec::new();
    // A server that closes before it has read the whole request resets the connection after its answer.
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

/// The position after the head in `bytes`, if all of it is there.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The status code in a head.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.get(..3)?.parse().ok()
}

/// The value of the first header called `name` in a head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}
