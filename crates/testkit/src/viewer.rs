//! A viewer of a multipart stream: a socket and a parser.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_media::container::multipart::{
    Parser, ParserEvent, Part, boundary_from_content_type, parse_unix_seconds,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::{number_of, request};

/// About the smallest receive buffer of any system, in bytes. With such a buffer the sender soon notices that the
/// viewer does not read.
const SMALL_RECEIVE_BUFFER_BYTES: u32 = 4096;

/// A client that receives one stream. It reads only on request. Dropping it closes the connection at once.
#[derive(Debug)]
pub struct TestViewer {
    stream: TcpStream,
    head: String,
    parser: Parser,
    has_ended_cleanly: bool,
}

/// A picture as a viewer received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPicture {
    /// The part's headers and body.
    pub part: Part,
    /// The number that the picture carries; `None` for a picture without a number, such as a slate.
    pub number: Option<u64>,
}

impl ReceivedPicture {
    /// Returns whether the server marked this picture as a slate.
    pub fn is_slate(&self) -> bool {
        self.part.header("x-framecast-notice").is_some()
    }

    /// Returns when the picture was captured, according to the part's header.
    pub fn captured_at(&self) -> Option<SystemTime> {
        self.part.header("x-timestamp").and_then(parse_unix_seconds)
    }

    /// Returns the age of the picture at `now`.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.captured_at().map(|captured_at| now.duration_since(captured_at).unwrap_or_default())
    }

    /// The coded picture.
    pub fn data(&self) -> &Bytes {
        &self.part.body
    }
}

impl TestViewer {
    /// Connects, requests `target` and waits until the head of the response has arrived.
    ///
    /// # Errors
    /// The errors of the socket, or [`io::ErrorKind::UnexpectedEof`] for a response without a head.
    pub async fn open(address: SocketAddr, target: &str) -> io::Result<Self> {
        Self::open_on(TcpStream::connect(address).await?, address, target).await
    }

    /// Opens a stream like [`open`](Self::open), but from another address of this machine.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_from(from: IpAddr, address: SocketAddr, target: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        Self::open_on(socket.connect(address).await?, address, target).await
    }

    /// Opens a stream like [`open`](Self::open), but with the smallest receive buffer, to simulate a slow viewer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with_small_buffer(address: SocketAddr, target: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_RECEIVE_BUFFER_BYTES)?;
        Self::open_on(socket.connect(address).await?, address, target).await
    }

    /// Opens a stream like [`open`](Self::open), but over the connection `stream`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_on(mut stream: TcpStream, address: SocketAddr, target: &str) -> io::Result<Self> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = request::head_end(&bytes) {
                break end;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let boundary = request::header(&head, "content-type").and_then(boundary_from_content_type);
        let mut parser = Parser::new(boundary.as_deref());
        parser.push(&bytes[end..]);
        Ok(Self { stream, head, parser, has_ended_cleanly: false })
    }

    /// Returns the status code of the response.
    pub fn status(&self) -> Option<u16> {
        request::status(&self.head)
    }

    /// Returns the value of a header of the response.
    pub fn header(&self, name: &str) -> Option<&str> {
        request::header(&self.head, name)
    }

    /// Waits for the next picture and returns it; `None` when the stream has ended or the connection broke. Cancel
    /// safe.
    ///
    /// # Panics
    /// If the stream is malformed.
    pub async fn next(&mut self) -> Option<ReceivedPicture> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.parser.next_event().expect("the stream is well formed") {
                Some(ParserEvent::Part(part)) => {
                    let number = number_of(&part.body);
                    return Some(ReceivedPicture { part, number });
                }
                Some(ParserEvent::End) => self.has_ended_cleanly = true,
                None => match self.stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => return None,
                    Ok(len) => self.parser.push(&bytes[..len]),
                },
            }
        }
    }

    /// Waits for the next picture that satisfies `wanted` and returns it; `None` when the stream ends first.
    pub async fn next_where(
        &mut self,
        mut wanted: impl FnMut(&ReceivedPicture) -> bool,
    ) -> Option<ReceivedPicture> {
        loop {
            let seen = self.next().await?;
            if wanted(&seen) {
                return Some(seen);
            }
        }
    }

    /// Waits for the next picture of the camera, skips slates, and returns the picture's number; `None` when the stream
    /// ends first.
    pub async fn next_number(&mut self) -> Option<u64> {
        self.next_where(|seen| seen.number.is_some()).await?.number
    }

    /// Returns whether the server announced the end of the stream, instead of breaking the connection.
    pub fn has_ended_cleanly(&self) -> bool {
        self.has_ended_cleanly
    }
}
