//! A TCP port or a UNIX socket, on which connections come in.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use framecast_outputs::{Peer, Socket};
use socket2::{Domain, SockAddr, Socket as Socket2, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::Listen;

/// Where connections come in.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a UNIX socket, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: another server may have put its own in this one's place.
    id: Option<(u64, u64)>,
}

impl Listener {
    /// Listens. The file of a UNIX socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// What the system says; [`ErrorKind::AddrInUse`] for a UNIX socket on which someone listens, and
    /// [`ErrorKind::AlreadyExists`] for a file that is no socket.
    pub(crate) async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Listen::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile { path: path.clone(), id: id_of(path) };
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Where it listens, with the port that was taken for port 0.
    pub(crate) fn listens_on(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, file) => Ok(Listen::Unix(file.path.clone())),
        }
    }

    /// The next connection. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // One that listens on `[::]` is told of IPv4 addresses in the form that IPv6 has for them.
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
            // What cannot be removed is replaced at the next start.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Removes the socket of a server that is gone; one that was killed leaves it behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    // One that is busy, or hangs, has no room for a connection: waiting for it could last for ever.
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
    use framecast_testkit::soon;
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
    async fn a_client_has_the_same_address_whichever_family_is_listened_on() {
        let Ok(listener) = Listener::bind(&Listen::parse("[::]:0").unwrap()).await else {
            return; // A machine without IPv6.
        };
        let port = listener.listens_on().unwrap().address().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_socket, peer) = soon("a connection", listener.accept()).await.unwrap();
        assert_eq!(peer.0.unwrap().to_string(), "127.0.0.1");
    }
}
