//! A WebSocket towards one client: one thing is written at a time, and read meanwhile.

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

use super::socket::Socket;
use super::speech::MAX_MESSAGE_BYTES;

/// How long a client may take to take its last words: less than the server waits for connections at its end.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(1500);

/// How many bytes stand before a picture in its message.
pub const HEAD_BYTES: usize = 16;

/// A WebSocket towards one client, who may be sent pictures and may say as much as [`Speech`](super::Speech) bounds. Writes
/// fail when the client has taken nothing for a while.
#[derive(Debug)]
pub struct Wire<S> {
    ws: WebSocketStream<Socket<S>>,
    /// A picture that goes when nothing else is being written.
    picture: Option<([u8; HEAD_BYTES], Bytes)>,
    is_idle: bool,
}

/// What happened on the wire.
#[derive(Debug)]
pub enum Event {
    /// What was begun has left: there is room for the next.
    Flushed,
    /// The client sent a message.
    Received(Message),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over `stream`, from which `early` has been read already.
    pub async fn new(stream: S, early: &[u8], write_timeout: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(MAX_MESSAGE_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let socket = Socket::new(stream, write_timeout);
        let ws =
            WebSocketStream::from_partially_read(socket, early.to_vec(), Role::Server, Some(config)).await;
        Self { ws, picture: None, is_idle: true }
    }

    /// Whether nothing is being written.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Begins to write a text or a ping; to be called when idle.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn begin(&mut self, message: Message) -> Result<(), Error> {
        self.is_idle = false;
        Pin::new(&mut self.ws).start_send(message)
    }

    /// Begins to write a picture; to be called when idle.
    pub fn begin_picture(&mut self, head: [u8; HEAD_BYTES], jpeg: Bytes) {
        self.is_idle = false;
        self.picture = Some((head, jpeg));
    }

    /// What happens next; nothing is received unless it `reads`. Cancel safe.
    pub fn poll_event(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Result<Event, Error>> {
        if !self.is_idle && self.poll_written(cx)?.is_ready() {
            self.is_idle = true;
            return Poll::Ready(Ok(Event::Flushed));
        }
        if !reads {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
            Some(message) => Poll::Ready(message.map(Event::Received)),
            None => Poll::Ready(Err(Error::ConnectionClosed)),
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(Pin::new(&mut self.ws).poll_flush(cx))?;
        let Some((head, jpeg)) = self.picture.take() else { return Poll::Ready(Ok(())) };
        // Nothing is left of a pong that went before: the picture cannot fall into the midst of another frame.
        self.ws.get_mut().put_picture(&head, jpeg);
        Pin::new(&mut self.ws).poll_flush(cx)
    }

    /// Ends the connection: with a code and a reason where the client is to be told one.
    pub async fn close(mut self, told: Option<(u16, String)>) {
        let closing = async {
            if let Some((code, reason)) = told {
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                Pin::new(&mut self.ws).start_send(Message::Close(Some(frame)))?;
            }
            // The answer to the client's own last word too.
            poll_fn(|cx| Pin::new(&mut self.ws).poll_flush(cx)).await?;
            let socket = self.ws.get_mut();
            socket.shutdown().await?;
            // Closing with unread bytes would reset the connection, and take the reason with it.
            let mut rest = [0; 1024];
            while socket.read(&mut rest).await? > 0 {}
            Ok::<_, Error>(())
        };
        // A client that does not take its last words has gone, or will be cut off.
        let _closed = timeout(CLOSING_TIMEOUT, closing).await;
    }
}
