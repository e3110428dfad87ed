//! A viewer of a stream: a socket and a parser.

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

/// About the smallest receive buffer of any system: the sender soon notices that the viewer does not read.
const SMALL_RECEIVE_BUFFER_BYTES: u32 = 4096;

/// One client of a stream. It reads only on request; dropping it closes the connection at once.
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
    /// The number in the picture; `None` for a drawn one.
    pub number: Option<u64>,
}

impl ReceivedPicture {
    /// Whether the server marks this picture as a slate.
    pub fn is_slate(&self) -> bool {
        self.part.header("x-framecast-notice").is_some()
    }

    /// When the picture was captured, by the part's header.
    pub fn captured_at(&self) -> Option<SystemTime> {
        self.part.header("x-timestamp").and_then(parse_unix_seconds)
    }

    /// How old the picture is at `now`.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.captured_at().map(|captured_at| now.duration_since(captured_at).unwrap_or_default())
    }

    /// The coded picture.
    pub fn data(&self) -> &Bytes {
        &self.part.body
    }
}

impl TestViewer {
    /// Connects and requests `target`; returns when the head of the answer has arrived.
    ///
    /// # Errors
    /// Those of the socket, or [`io::ErrorKind::UnexpectedEof`] for an answer without a head.
    pub async fn open(address: SocketAddr, target: &str) -> io::Result<Self> {
        Self::open_on(TcpStream::connect(address).await?, address, target).await
    }

    /// Like [`open`](Self::open), from another address of this machine.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_from(from: IpAddr, address: SocketAddr, target: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        Self::open_on(socket.connect(address).await?, address, target).await
    }

    /// Like [`open`](Self::open), with the smallest receive buffer: for a slow viewer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with_small_buffer(address: SocketAddr, target: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_RECEIVE_BUFFER_BYTES)?;
        Self::open_on(socket.connect(address).await?, address, target).await
    }

    /// Requests `target` on an open connection.
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

    /// The status code of the answer.
    pub fn status(&self) -> Option<u16> {
        request::status(&self.head)
    }

    /// The value of a header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        request::header(&self.head, name)
    }

    /// The next picture; `None` when the stream has ended or broken off. Cancel safe.
    ///
    /// # Panics
    /// When the stream is malformed.
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

    /// The next picture that satisfies `wanted`; `None` when the stream ends before.
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

    /// The number of the next picture of the camera, skipping slates; `None` when the stream ends before.
    pub async fn next_number(&mut self) -> Option<u64> {
        self.next_where(|seen| seen.number.is_some()).await?.number
    }

    /// Whether the stream announced its end, instead of breaking off.
    pub fn has_ended_cleanly(&self) -> bool {
        self.has_ended_cleanly
    }
}
