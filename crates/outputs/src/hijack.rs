//! How a handler takes over the client's socket from HTTP (a hijack).
//!
//! hyper parses the request, the router authorises and answers it, and hyper sends the head of the response. A handler
//! that wants to write the rest itself leaves a callback in the request's [`Hijack`]. The server that owns the
//! connection then calls it with the socket. A server that cannot hand over sockets (TLS, HTTP/2, another program's)
//! puts no [`Hijack`] into its requests, and the handler answers with a body. Reading requests does not belong here.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// The callback that receives the socket. It must not block; it runs within a Tokio runtime.
pub type HijackHandler = Box<dyn FnOnce(HijackedConnection) + Send>;

/// A permit that the new owner holds while the connection lives: it counts among the open connections.
pub type ConnectionPermit = Box<dyn Any + Send>;

/// Where a handler leaves its callback for the server. The server makes one per connection and puts it into the
/// extensions of all requests of that connection.
#[derive(Clone, Default)]
pub struct Hijack(Arc<Mutex<Option<HijackHandler>>>);

impl Hijack {
    /// A [`Hijack`] without a callback.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the socket after the response head is sent. The response must either be HTTP/1.0 and have an empty body
    /// of unknown length, so that nothing follows the head, or have status 101.
    pub fn set_handler(&self, handler: impl FnOnce(HijackedConnection) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(handler));
    }

    /// Whether a handler asked for the socket.
    pub fn has_handler(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The callback, if a handler left one; for the server.
    pub fn take_handler(&self) -> Option<HijackHandler> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Hijack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hijack")
    }
}

/// A connection that was handed over.
pub struct HijackedConnection {
    /// The client's socket. hyper has sent the head of the response.
    pub socket: Socket,
    /// The bytes after the request's head that hyper has already read.
    pub read_buf: Bytes,
    /// The connection permit, to be dropped when the connection ends.
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
    /// Resets the connection: the client sees an error instead of an end of stream, and unsent data is lost. A UNIX
    /// socket cannot be reset.
    ///
    /// # Errors
    /// The error of the system.
    pub fn reset(self) -> io::Result<()> {
        match &self {
            Self::Tcp(stream) => Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// Calls `$method` of the stream, whichever kind it is.
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
