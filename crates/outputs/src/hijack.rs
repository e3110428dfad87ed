//! How a request handler takes over the client's socket from the HTTP server (a hijack).
//!
//! hyper parses the request, the router authorises and answers it, and hyper sends the head of the response. A handler
//! that wants to write the rest of the response itself leaves a callback in the request's [`Hijack`]. The server that
//! owns the connection then calls this callback with the socket. A server that cannot hand over sockets (TLS, HTTP/2,
//! another program's server) puts no [`Hijack`] into its requests, and the handler answers with a body. Reading
//! requests does not belong here.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use framecast_media::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// The callback that receives the socket. It is called within a Tokio runtime and must not block.
pub type HijackHandler = Box<dyn FnOnce(HijackedConnection) + Send>;

/// A permit for one of the server's open connections, whose number is limited. The handler that gets the socket holds
/// the permit until the connection ends.
pub type ConnectionPermit = Box<dyn Any + Send>;

/// The place where a handler leaves its callback for the server. The server creates one for each connection and puts it
/// into the extensions of all requests of that connection.
#[derive(Clone, Default)]
pub struct Hijack(Arc<Mutex<Option<HijackHandler>>>);

impl Hijack {
    /// Creates a [`Hijack`] without a callback.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests that the server call `handler` with the socket after the response head is sent. So that hyper sends
    /// nothing after that head, the response must either have status 101, or be HTTP/1.0 with an empty body of unknown
    /// length.
    pub fn set_handler(&self, handler: impl FnOnce(HijackedConnection) + Send + 'static) {
        *lock(&self.0) = Some(Box::new(handler));
    }

    /// Returns whether a handler has requested the socket.
    pub fn has_handler(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// Takes the callback out of the [`Hijack`] and returns it; `None` if no handler left one. The server calls this
    /// method.
    pub fn take_handler(&self) -> Option<HijackHandler> {
        lock(&self.0).take()
    }
}

impl fmt::Debug for Hijack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hijack")
    }
}

/// A connection whose socket was handed over to a handler.
pub struct HijackedConnection {
    /// The client's socket. hyper has already sent the head of the response.
    pub socket: Socket,
    /// The bytes that the client sent after the head of its request and that hyper has already read.
    pub read_buf: Bytes,
    /// The permit for this connection, which the handler drops when the connection ends.
    pub permit: ConnectionPermit,
}

impl fmt::Debug for HijackedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HijackedConnection").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A client's socket.
#[derive(Debug)]
pub enum Socket {
    /// A client over the network.
    Tcp(TcpStream),
    /// A client on this machine.
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl Socket {
    /// Resets the connection, so that the client sees an error instead of the end of the stream. Unsent data is lost. A
    /// UNIX socket cannot be reset.
    ///
    /// # Errors
    /// The error of the operating system, if the reset fails.
    pub fn reset(self) -> io::Result<()> {
        match &self {
            Self::Tcp(stream) => Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// Calls `$method` of the TCP or UNIX stream.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
