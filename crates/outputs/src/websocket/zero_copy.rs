//! A client's byte stream that can send pictures without a copy, past the write buffer of the WebSocket library.
//!
//! While a picture is being sent, all other writes wait, so that WebSocket frames are not mixed. Writes fail if the
//! client takes nothing for too long. What the bytes mean does not belong here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::client_activity::{MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_SECOND};
use crate::WriteTimeout;

/// The first byte of an unfragmented binary message: FIN and the opcode (RFC 6455 §5.2).
const WHOLE_BINARY: u8 = 0x82;

/// The lowest payload length for which the length field of a WebSocket frame needs more than its first byte: two
/// further bytes, or eight if two are too few (RFC 6455 §5.2).
const LONG: u64 = 126;

/// The maximum number of bytes a client is allowed to send in a second: the maximum number of messages times their
/// maximum length. It does not matter how the bytes are split into messages.
const MAX_READ_BYTES: u64 = MAX_MESSAGES_PER_SECOND as u64 * MAX_MESSAGE_BYTES as u64;
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// A byte stream to a client that can send pictures without a copy.
#[derive(Debug)]
pub(super) struct ZeroCopyStream<S> {
    stream: S,
    /// The bytes that are left to send of the head of the picture's WebSocket frame.
    head: Bytes,
    /// The bytes that are left to send of the picture.
    body: Bytes,
    write_timeout: WriteTimeout,
    /// The number of bytes that the client sent since `counting_since`.
    read: u64,
    counting_since: Instant,
}

impl<S> ZeroCopyStream<S> {
    pub(super) fn new(stream: S, write_timeout: Duration) -> Self {
        let (head, body) = (Bytes::new(), Bytes::new());
        let write_timeout = WriteTimeout::new(write_timeout);
        Self { stream, head, body, write_timeout, read: 0, counting_since: Instant::now() }
    }

    /// Queues a binary message of `heads`, which are copied, and `body` as the next bytes to send. Flushing sends the
    /// message. The caller must ensure that no write is pending, neither here nor in the WebSocket library.
    pub(super) fn queue_picture(&mut self, heads: [&[u8]; 2], body: Bytes) {
        debug_assert!(self.head.is_empty() && self.body.is_empty(), "one picture at a time");
        let heads_len = heads.iter().map(|head| head.len()).sum::<usize>();
        let len = (heads_len + body.len()) as u64;
        let mut frame = Vec::with_capacity(heads_len + 10);
        frame.push(WHOLE_BINARY);
        match u16::try_from(len) {
            Ok(short) if len < LONG => frame.push(short.to_be_bytes()[1]),
            Ok(short) => {
                frame.push(126);
                frame.extend_from_slice(&short.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend_from_slice(&len.to_be_bytes());
            }
        }
        heads.iter().for_each(|head| frame.extend_from_slice(head));
        self.head = frame.into();
        self.body = body;
    }

    /// Records that the client sent `bytes` bytes. Fails if the client has sent more bytes within a second than
    /// allowed.
    fn count_read(&mut self, bytes: u64) -> io::Result<()> {
        let now = Instant::now();
        if now >= self.counting_since + READ_INTERVAL {
            (self.counting_since, self.read) = (now, 0);
        }
        self.read += bytes;
        if self.read > MAX_READ_BYTES { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }
}

impl<S: AsyncWrite + Unpin> ZeroCopyStream<S> {
    /// Sends the rest of the queued picture.
    fn poll_picture(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.head.has_remaining() || self.body.has_remaining() {
            let slices = [IoSlice::new(&self.head), IoSlice::new(&self.body)];
            let slices = if self.head.is_empty() { &slices[1..] } else { &slices };
            let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
            let written = ready!(self.write_timeout.limit(cx, poll))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            self.body.advance(written - of_head);
        }
        // An empty slice would still keep the whole picture in memory.
        self.body = Bytes::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ZeroCopyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.count_read((buf.filled().len() - before) as u64))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ZeroCopyStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_picture(cx))?;
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.write_timeout.limit(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_picture(cx))?;
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.write_timeout.limit(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_picture(cx))?;
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.write_timeout.limit(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_picture_is_one_frame_whatever_its_length_and_what_follows_comes_behind_it() {
        for len in [0, 1, 109, 110, 65_519, 65_520, 100_000] {
            let (client, mut server) = duplex(1000);
            let mut socket = ZeroCopyStream::new(client, PATIENCE);
            socket.queue_picture([&[7; 10], &[7; 6]], vec![9; len].into());
            let writing = async move { socket.write_all(b"after").await.unwrap() };
            let mut got = Vec::new();
            let ((), read) = tokio::join!(writing, server.read_to_end(&mut got));
            read.unwrap();
            let payload = len + 16;
            let head = match payload {
                0..126 => vec![0x82, payload as u8],
                126..65_536 => [&[0x82, 126][..], &(payload as u16).to_be_bytes()].concat(),
                _ => [&[0x82, 127][..], &(payload as u64).to_be_bytes()].concat(),
            };
            assert_eq!(got, [&head[..], &[7; 16], &vec![9; len], b"after"].concat(), "{len}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
        let (client, mut server) = duplex(10);
        let mut socket = ZeroCopyStream::new(client, PATIENCE);
        socket.queue_picture([&[], &[]], vec![0; 100].into());
        let start = Instant::now();
        let slowly = async {
            for _ in 0..10 {
                framecast_testkit::pause(PATIENCE * 9 / 10).await;
                server.read_exact(&mut [0; 10]).await.unwrap();
            }
            server
        };
        let (flushed, _server) = tokio::join!(socket.flush(), slowly);
        flushed.unwrap();
        socket.queue_picture([&[], &[]], vec![0; 100].into());
        let last = Instant::now();
        assert_eq!(socket.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(last.elapsed() == PATIENCE && start.elapsed() > PATIENCE * 9);
    }

    /// Takes everything, and remembers the address of each picture's bytes.
    struct Kernel(Vec<*const u8>);

    impl AsyncWrite for Kernel {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.0.extend(bufs.last().map(|buf| buf.as_ptr()));
            Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_picture_is_written_from_where_it_is_by_one_call_and_let_go() {
        let picture = Bytes::from(vec![9; 1000]);
        let mut socket = ZeroCopyStream::new(Kernel(Vec::new()), PATIENCE);
        socket.queue_picture([&[7; 10], &[7; 6]], picture.clone());
        socket.flush().await.unwrap();
        assert_eq!(socket.stream.0, [picture.as_ptr()]);
        assert!(picture.is_unique());
    }
}
