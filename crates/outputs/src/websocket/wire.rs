//! The WebSocket of one client: writes one message at a time, and reads meanwhile.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client_activity::MAX_MESSAGE_BYTES;
use super::zero_copy::ZeroCopyStream;

/// The time limit for a client to receive the close frame. It is shorter than the time that the server waits for
/// connections to end when it shuts down.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(1500);

/// The number of bytes that precede the picture, or the part of the video, in its message.
pub const HEAD_BYTES: usize = 16;

/// The WebSocket of one client, which sends pictures and limits the size of the client's messages. Writes fail if the
/// client takes nothing for too long.
#[derive(Debug)]
pub struct Wire<S> {
    ws: WebSocketStream<ZeroCopyStream<S>>,
    /// The head, if it has one, and the payload of the picture to send after the current write.
    picture: Option<(Option<[u8; HEAD_BYTES]>, [Bytes; 2])>,
    is_idle: bool,
}

/// An event of the WebSocket.
#[derive(Debug)]
pub enum WireEvent {
    /// The current write is complete, so that the next can begin.
    Flushed,
    /// The client sent a message.
    Received(Message),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Creates a WebSocket over `stream`. `read_buf` contains the bytes that the client sent after its request and that
    /// the HTTP server has already read from `stream`.
    pub async fn new(stream: S, read_buf: &[u8], write_timeout: Duration) -> Self {
        Self::with_max_message(stream, read_buf, write_timeout, MAX_MESSAGE_BYTES).await
    }

    /// Does what [`new`](Self::new) does for clients that may send messages of up to `max_message_bytes`.
    pub async fn with_max_message(
        stream: S,
        read_buf: &[u8],
        write_timeout: Duration,
        max_message_bytes: usize,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(MAX_MESSAGE_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let socket = ZeroCopyStream::new(stream, write_timeout);
        let ws =
            WebSocketStream::from_partially_read(socket, read_buf.to_vec(), Role::Server, Some(config)).await;
        Self { ws, picture: None, is_idle: true }
    }

    /// Returns whether no write is in progress.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Starts to write a text or a ping. The caller must ensure that no other write is in progress.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn begin(&mut self, message: Message) -> Result<(), Error> {
        self.is_idle = false;
        Pin::new(&mut self.ws).start_send(message)
    }

    /// Starts to write a picture, or a part of a video, in one message. Of the payload, the first piece is copied and
    /// the second is not. The caller must ensure that no other write is in progress.
    pub fn begin_picture(&mut self, head: [u8; HEAD_BYTES], payload: [Bytes; 2]) {
        self.begin_binary(Some(head), payload);
    }

    /// Starts to write `payload` in one message, without a head. Otherwise like [`begin_picture`](Self::begin_picture).
    pub fn begin_payload(&mut self, payload: [Bytes; 2]) {
        self.begin_binary(None, payload);
    }

    fn begin_binary(&mut self, head: Option<[u8; HEAD_BYTES]>, payload: [Bytes; 2]) {
        self.is_idle = false;
        self.picture = Some((head, payload));
    }

    /// Polls for the next event. Reads messages only if `may_read`. Cancel safe.
    pub fn poll_event(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<Result<WireEvent, Error>> {
        if !self.is_idle && self.poll_written(cx)?.is_ready() {
            self.is_idle = true;
            return Poll::Ready(Ok(WireEvent::Flushed));
        }
        if !may_read {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
            Some(message) => Poll::Ready(message.map(WireEvent::Received)),
            None => Poll::Ready(Err(Error::ConnectionClosed)),
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(Pin::new(&mut self.ws).poll_flush(cx))?;
        let Some((head, [first, rest])) = self.picture.take() else { return Poll::Ready(Ok(())) };
        // The flush has sent any pong completely, so the picture cannot split another frame.
        let head = head.as_ref().map_or(&[][..], |head| &head[..]);
        self.ws.get_mut().queue_picture([head, &first], rest);
        Pin::new(&mut self.ws).poll_flush(cx)
    }

    /// Closes the connection. If `close_frame` is given, sends its code and reason to the client first.
    pub async fn close(mut self, close_frame: Option<(u16, String)>) {
        let closing = async {
            if let Some((code, reason)) = close_frame {
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                Pin::new(&mut self.ws).start_send(Message::Close(Some(frame)))?;
            }
            // This also sends the response to the client's own close frame.
            poll_fn(|cx| Pin::new(&mut self.ws).poll_flush(cx)).await?;
            let socket = self.ws.get_mut();
            socket.shutdown().await?;
            // Closing with unread bytes would reset the connection, and the client would lose the reason.
            let mut rest = [0; 1024];
            while socket.read(&mut rest).await? > 0 {}
            Ok::<_, Error>(())
        };
        // A client that does not receive the close frame has left, or is cut off here.
        let _closed = timeout(CLOSING_TIMEOUT, closing).await;
    }
}
