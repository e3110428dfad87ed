//! A client's connection, in which few bytes queue for sending. The connection fails if the client does not read for
//! too long.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use framecast_outputs::WriteTimeout;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::traffic::Traffic;

/// A byte stream with limits. A write fails if the peer accepts no bytes for `write_timeout`. A read fails once the
/// head of a request (request line and headers) is too long.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    write_timeout: WriteTimeout,
    traffic: Arc<Traffic>,
}

impl<S> Connection<S> {
    pub(crate) fn new(stream: S, write_timeout: Duration, traffic: Arc<Traffic>) -> Self {
        Self { stream, write_timeout: WriteTimeout::new(write_timeout), traffic }
    }

    /// Returns the underlying stream, without the limits of this type.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        match poll.is_ready() && self.traffic.record_read(&buf.filled()[before..]) {
            true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            false => poll,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = poll {
            self.traffic.record_written(&[IoSlice::new(buf)], written);
        }
        self.write_timeout.limit(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(written)) = poll {
            self.traffic.record_written(bufs, written);
        }
        self.write_timeout.limit(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.write_timeout.limit(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_testkit::pause;
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_after_the_write_timeout() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut connection = Connection::new(ours, Duration::from_secs(10), Arc::default());
        let start = Instant::now();
        let error = connection.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_something_now_and_then_is_kept() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut connection = Connection::new(ours, Duration::from_secs(10), Arc::default());
        let reader = tokio::spawn(async move {
            for _ in 0..4 {
                pause(Duration::from_secs(9)).await;
                tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 16]).await.unwrap();
            }
        });
        connection.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }
}
