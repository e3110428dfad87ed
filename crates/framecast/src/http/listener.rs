//! The listening sockets, TCP or UNIX, on which the server accepts connections.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use framecast_outputs::{Peer, Socket};
use socket2::{Domain, SockAddr, Socket as Socket2, Type};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::Listen;

/// The length of the accept queue, in connections. When many browsers open a page at the same time, for example after a
/// restart of the server, their connections arrive in a burst. A connection that arrives when the queue is full is
/// delayed by a second. The system might make the queue shorter.
const BACKLOG: u32 = 4096;

/// A listening TCP or UNIX socket.
#[derive(Debug)]
pub(crate) enum ConnectionListener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a listening UNIX socket. Dropping this value removes the file, unless another server has replaced it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The device and inode number of the socket file, which show whether another server has replaced the file. `None`
    /// if the numbers could not be read.
    id: Option<(u64, u64)>,
}

impl ConnectionListener {
    /// Opens a listening socket at the address `listen`. If this is a UNIX socket whose file exists, but no program
    /// listens there any more, replaces the file.
    ///
    /// # Errors
    /// The system's error. [`ErrorKind::AddrInUse`] if a program already listens on the UNIX socket, and
    /// [`ErrorKind::AlreadyExists`] if the path is a file that is not a socket.
    pub(crate) async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                // Connections of an earlier server in TIME_WAIT must not block the port.
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                socket.listen(BACKLOG).map(Self::Tcp)
            }
            Listen::Unix(path) => {
                remove_stale(path)?;
                let socket = Socket2::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
                let listener = UnixListener::from_std(socket.into())?;
                let file = SocketFile { path: path.clone(), id: id_of(path) };
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Returns the address at which this socket listens. If the configured port was 0, the address has the port that
    /// the system chose.
    pub(crate) fn listens_on(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, file) => Ok(Listen::Unix(file.path.clone())),
        }
    }

    /// Accepts the next connection, and returns its socket and the client's address. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A listener on `[::]` gets IPv4 addresses as IPv4-mapped IPv6 addresses.
                Ok((stream.into(), Peer(Some(peer.ip().to_canonical()))))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), Peer(None)))
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
            let listener = ConnectionListener::bind(&Listen::parse(text).unwrap()).await.unwrap();
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
        let listener = match ConnectionListener::bind(&Listen::parse("[::]:0").unwrap()).await {
            Ok(listener) => listener,
            Err(error) => return not_run(format!("without IPv6: {error}")),
        };
        let port = listener.listens_on().unwrap().address().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_socket, peer) = soon("a connection", listener.accept()).await.unwrap();
        assert_eq!(peer.0.unwrap().to_string(), "127.0.0.1");
    }
}
