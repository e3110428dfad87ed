//! The listening sockets, TCP or UNIX, on which the server accepts connections.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use framecast_outputs::{Peer, Socket};
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use socket2::{Domain, SockAddr, Socket as Socket2, Type};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::Listen;

/// The length of the accept queue, in connections. When many browsers open a page at the same time, for example after a
/// restart of the server, their connections arrive in a burst. A connection that arrives when the queue is full is
/// delayed by a second, and at a UNIX socket refused. The system makes the queue shorter, usually 4096
/// (`net.core.somaxconn`); this is the most that each system understands.
const BACKLOG: u32 = 65_535;

/// A listening TCP or UNIX socket, on which a server accepts connections. Clones share the socket. It listens until the
/// last clone is dropped: without a server that accepts them, connections wait.
#[derive(Debug, Clone)]
pub struct ListeningSocket(Arc<OpenSocket>);

#[derive(Debug)]
struct OpenSocket {
    listener: Listener,
    origin: Origin,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who has opened a listening socket.
#[derive(Debug)]
enum Origin {
    /// This server, or the one before it in the same process. If this is a UNIX socket, it has a file.
    Server(Option<SocketFile>),
    /// Another program, which also removes the file of a UNIX socket.
    OtherProgram,
}

/// The file of a listening UNIX socket. Dropping this value removes the file, unless another server has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// The device and inode number of the socket file, which show whether another server has replaced the file. `None`
    /// if the numbers could not be read.
    id: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), id: id_of(path) }
    }
}

impl ListeningSocket {
    /// Opens a listening socket at the address `listen`. If this is a UNIX socket whose file exists, but no program
    /// listens there any more, replaces the file.
    ///
    /// # Errors
    /// The system's error. [`ErrorKind::AddrInUse`] if a program already listens on the UNIX socket, and
    /// [`ErrorKind::AlreadyExists`] if the path is a file that is not a socket.
    pub(crate) fn bind(listen: &Listen) -> io::Result<Self> {
        let (listener, file) = match listen {
            Listen::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                // Connections of an earlier server in TIME_WAIT must not block the port.
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                (Listener::Tcp(socket.listen(BACKLOG)?), None)
            }
            Listen::Unix(path) => {
                remove_stale(path)?;
                let socket = Socket2::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                socket.listen(BACKLOG.cast_signed())?;
                (Listener::Unix(UnixListener::from_std(socket.into())?), Some(SocketFile::new(path)))
            }
        };
        Ok(Self(Arc::new(OpenSocket { listener, origin: Origin::Server(file) })))
    }

    /// Takes a listening socket that another program has opened, such as systemd. That program also removes the file of
    /// a UNIX socket. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// `socket` is not a listening stream socket, TCP or UNIX: the error has the kind [`ErrorKind::InvalidInput`], and
    /// its text says what `socket` is.
    pub fn given(socket: OwnedFd) -> io::Result<Self> {
        let listener = Listener::from_fd(socket)?;
        Ok(Self(Arc::new(OpenSocket { listener, origin: Origin::OtherProgram })))
    }

    /// Takes a listening socket that the server had opened which ran in this process before. Must be called within a
    /// Tokio runtime. The file of a UNIX socket is removed when the last clone is dropped.
    ///
    /// # Errors
    /// As those of [`given`](Self::given).
    pub fn handed_over(socket: OwnedFd) -> io::Result<Self> {
        let listener = Listener::from_fd(socket)?;
        let path = listener.listens_on()?.path().map(Path::to_path_buf);
        let file = path.map(|path| SocketFile::new(&path));
        Ok(Self(Arc::new(OpenSocket { listener, origin: Origin::Server(file) })))
    }

    /// Returns whether another program has opened this socket, and removes the file of a UNIX socket.
    pub fn is_given(&self) -> bool {
        matches!(self.0.origin, Origin::OtherProgram)
    }

    /// Returns the address at which this socket listens. If the configured port was 0, the address has the port that
    /// the system chose.
    ///
    /// # Errors
    /// The system does not tell the address.
    pub fn listens_on(&self) -> io::Result<Listen> {
        match &self.0.origin {
            Origin::Server(Some(file)) => Ok(Listen::Unix(file.path.clone())),
            _ => self.0.listener.listens_on(),
        }
    }

    /// Accepts the next connection, and returns its socket and the client's address. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.0.listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A listener on `[::]` gets IPv4 addresses as IPv4-mapped IPv6 addresses.
                Ok((stream.into(), Peer(Some(peer.ip().to_canonical()))))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), Peer(None)))
            }
        }
    }
}

/// For a program that passes the socket on to its successor.
impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Listener {
    fn from_fd(socket: OwnedFd) -> io::Result<Self> {
        let refuse = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, what));
        match (socket_type(&socket), socket_acceptconn(&socket)) {
            (Err(_), _) => return refuse("it is not a socket"),
            (Ok(rustix::net::SocketType::STREAM), Ok(true)) => {}
            (Ok(rustix::net::SocketType::STREAM), _) => {
                return refuse("it is a socket of a connection, which does not listen");
            }
            _ => return refuse("it is not a stream socket"),
        }
        let socket = Socket2::from(socket);
        let domain = socket.local_addr()?.domain();
        // The program that opened it might have asked for a shorter queue.
        socket.listen(BACKLOG.cast_signed())?;
        socket.set_nonblocking(true)?;
        match domain {
            Domain::IPV4 | Domain::IPV6 => TcpListener::from_std(socket.into()).map(Self::Tcp),
            Domain::UNIX => UnixListener::from_std(socket.into()).map(Self::Unix),
            _ => refuse("it is neither a TCP nor a UNIX socket"),
        }
    }

    fn listens_on(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(listener) => {
                let address = socket2::SockRef::from(listener).local_addr()?;
                let abstract_name = || {
                    let name = address.as_abstract_namespace().unwrap_or_default();
                    PathBuf::from(format!("@{}", String::from_utf8_lossy(name)))
                };
                Ok(Listen::Unix(address.as_pathname().map_or_else(abstract_name, Path::to_path_buf)))
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && self.id == id_of(&self.path) {
            // If the removal fails, the next start replaces the file.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Removes the UNIX socket file at `path` if no program listens there any more. A server that was killed leaves such a
/// file behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    // Non-blocking, because a busy or hanging server might have a full accept queue, and a blocking connect could wait
    // for ever.
    let socket = Socket2::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Ok(()) => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_testkit::{not_run, soon};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_socket_whose_server_accepts_nothing_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let hung = Socket2::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let address = SockAddr::unix(&path).unwrap();
        hung.bind(&address).unwrap();
        hung.listen(1).unwrap();
        let client = || Socket2::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            waiting.push(client());
            if let Err(error) = waiting.last().unwrap().connect(&address) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let binding = tokio::task::spawn_blocking(move || remove_stale(&path));
        let refusal = soon("it is told to be in use", binding).await.unwrap().unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_burst_of_connections_waits_for_nothing() {
        let bound = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        // Some systems let fewer wait.
        let count = bound.trim().parse().map_or(300, |bound: usize| 300.min(bound * 3 / 4));
        let folder = tempfile::tempdir().unwrap();
        let unix = format!("unix:{}", folder.path().join("http.sock").display());
        for text in ["127.0.0.1:0", &unix] {
            let listener = ListeningSocket::bind(&Listen::parse(text).unwrap()).unwrap();
            let to = match listener.listens_on().unwrap() {
                Listen::Tcp(address) => address.into(),
                Listen::Unix(path) => SockAddr::unix(path).unwrap(),
            };
            let connecting = tokio::task::spawn_blocking(move || {
                let connect = |_| {
                    let client = Socket2::new(to.domain(), Type::STREAM, None).unwrap();
                    client.connect(&to).map(|()| client)
                };
                (0..count).map(connect).collect::<io::Result<Vec<_>>>().unwrap().len()
            });
            assert_eq!(soon("all connect while none is accepted", connecting).await.unwrap(), count);
        }
    }

    #[tokio::test]
    async fn a_client_has_the_same_address_whichever_family_is_listened_on() {
        let listener = match ListeningSocket::bind(&Listen::parse("[::]:0").unwrap()) {
            Ok(listener) => listener,
            Err(error) => return not_run(format!("without IPv6: {error}")),
        };
        let port = listener.listens_on().unwrap().address().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_socket, peer) = soon("a connection", listener.accept()).await.unwrap();
        assert_eq!(peer.0.unwrap().to_string(), "127.0.0.1");
    }
}
