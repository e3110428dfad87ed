//! How a handler gets the client's socket once HTTP is done with it.
//!
//! hyper parses the request, the router authorises and answers it, and the answer's head is sent. A handler that wants to
//! write the rest itself leaves word in the request's [`Handover`]; the server that owns the connection then gives it the
//! socket. A server that cannot do that (TLS, HTTP/2, another program's) puts no handover into its requests, and the
//! handler answers by a body. Reading requests does not belong here.

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

/// What is done with a socket that was handed over. Must not block; runs within a Tokio runtime.
pub type Taker = Box<dyn FnOnce(Taken) + Send>;

/// What must be held as long as a connection lives: its place among those that may be open at once.
pub type Place = Box<dyn Any + Send>;

/// The word that a handler leaves for the server: who takes the socket. One per connection, in the extensions of all its
/// requests.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<Taker>>>);

impl Handover {
    /// One without a taker.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the socket after the answer's head was sent. The answer must either be of HTTP/1.0 and have an empty body
    /// of unknown length, so that nothing follows the head, or have status 101.
    pub fn leave(&self, taker: impl FnOnce(Taken) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(taker));
    }

    /// Whether someone asked for the socket.
    pub fn has_taker(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Who is to have the socket, if anyone; for the server.
    pub fn take(&self) -> Option<Taker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover")
    }
}

/// A connection that was handed over.
pub struct Taken {
    /// The client's socket. The answer's head is sent.
    pub socket: Socket,
    /// What the client sent after its request's head, and hyper has read.
    pub read: Bytes,
    /// To be dropped when the connection has ended.
    pub place: Place,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A client's socket.
#[derive(Debug)]
pub enum Socket {
    /// From the network.
    Tcp(TcpStream),
    /// From this machine.
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
    /// Ends the connection so that the client sees an error, and not an end; what is still to be sent is lost. A UNIX socket
    /// has no such thing.
    ///
    /// # Errors
    /// What the system says.
    pub fn reset(self) -> io::Result<()> {
        match &self {
            Self::Tcp(stream) => Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// Calls `$method` of whichever stream it is.
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
