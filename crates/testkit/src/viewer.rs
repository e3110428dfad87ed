//! A test's viewer of a multipart video stream: a socket and a parser.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_media::container::multipart::{
    Parser, ParserEvent, Part, boundary_from_content_type, parse_unix_seconds,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::{number_of, request, soon};

/// The size in bytes of the receive buffer that simulates a slow viewer. It is about the smallest that any system
/// allows, so the server's writes soon block if the viewer does not read.
const SMALL_RECEIVE_BUFFER_BYTES: u32 = 4096;

/// A client that receives one multipart stream. It reads from the socket only when a test asks for a picture. Dropping
/// it closes the connection at once.
#[derive(Debug)]
pub struct TestViewer {
    stream: TcpStream,
    head: String,
    parser: Parser,
    has_ended_cleanly: bool,
}

/// One picture of a stream, as the viewer received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPicture {
    /// The multipart header lines that came with the picture, and the bytes of the picture.
    pub part: Part,
    /// The number that the test wrote into the picture. `None` for a picture without a number, such as a slate (a
    /// picture with a notice, which the server sends in place of the camera's pictures).
    pub number: Option<u64>,
}

impl ReceivedPicture {
    /// Returns whether the server marked this picture as a slate (a picture with a notice, sent in place of the
    /// camera's pictures).
    pub fn is_slate(&self) -> bool {
        self.part.header("x-framecast-notice").is_some()
    }

    /// Returns when the picture was captured, from its header `X-Timestamp`. Returns `None` without a valid header.
    pub fn captured_at(&self) -> Option<SystemTime> {
        self.part.header("x-timestamp").and_then(parse_unix_seconds)
    }

    /// Returns the time from the capture of the picture to `now`, or `None` if the capture time is unknown. Returns
    /// zero if the capture time is after `now`.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.captured_at().map(|captured_at| now.duration_since(captured_at).unwrap_or_default())
    }

    /// Returns the bytes of the encoded picture.
    pub fn data(&self) -> &Bytes {
        &self.part.body
    }
}

impl TestViewer {
    /// Connects to `address`, requests `target` (the path and query) and waits until the head of the response has
    /// arrived.
    ///
    /// # Errors
    /// The socket fails, or the connection ends before the head is complete ([`io::ErrorKind::UnexpectedEof`]).
    ///
    /// # Panics
    /// If the head does not come within a minute.
    pub async fn open(address: SocketAddr, target: &str) -> io::Result<Self> {
        let stream = soon("a connection", TcpStream::connect(address)).await?;
        Self::open_on(stream, address, target).await
    }

    /// Opens a stream like [`open`](Self::open), but connects from the local address `from` of this machine.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub async fn open_from(from: IpAddr, address: SocketAddr, target: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = soon("a connection", socket.connect(address)).await?;
        Self::open_on(stream, address, target).await
    }

    /// Opens a stream like [`open`](Self::open), but with a very small receive buffer, to simulate a slow viewer.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub async fn open_with_small_buffer(address: SocketAddr, target: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_RECEIVE_BUFFER_BYTES)?;
        let stream = soon("a connection", socket.connect(address)).await?;
        Self::open_on(stream, address, target).await
    }

    /// Opens a stream like [`open`](Self::open), but over the existing connection `stream`. `address` is the value of
    /// the header `Host`.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub async fn open_on(stream: TcpStream, address: SocketAddr, target: &str) -> io::Result<Self> {
        soon("the head of a response", Self::request_on(stream, address, target)).await
    }

    async fn request_on(mut stream: TcpStream, address: SocketAddr, target: &str) -> io::Result<Self> {
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

    /// Returns the value of the response's first header called `name`, or `None` if there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        request::header(&self.head, name)
    }

    /// Waits for the next picture and returns it. Returns `None` when the stream has ended or the connection broke.
    /// Dropping the future loses no data.
    ///
    /// # Panics
    /// If the stream is malformed, or no picture comes within a minute.
    pub async fn next(&mut self) -> Option<ReceivedPicture> {
        soon("a picture", self.read_next()).await
    }

    async fn read_next(&mut self) -> Option<ReceivedPicture> {
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

    /// Waits for the next picture for which `wanted` returns true, and returns the picture. Returns `None` when the
    /// stream ends first.
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

    /// Waits for the next picture that contains a number, and returns the number. Skips other pictures, such as slates
    /// (pictures with a notice from the server). Returns `None` when the stream ends first.
    pub async fn next_number(&mut self) -> Option<u64> {
        self.next_where(|seen| seen.number.is_some()).await?.number
    }

    /// Reads the rest of the stream. Returns the last picture; `None` if none came.
    pub async fn last(&mut self) -> Option<ReceivedPicture> {
        let mut last = None;
        while let Some(seen) = self.next().await {
            last = Some(seen);
        }
        last
    }

    /// Returns whether the server has ended the stream with the final boundary. False if the stream goes on, or if the
    /// connection broke.
    pub fn has_ended_cleanly(&self) -> bool {
        self.has_ended_cleanly
    }
}
