//! Prepares a client's connection for live pictures.

use tokio::net::TcpStream;
use tracing::debug;

/// The number of unsent bytes in the kernel up to which a socket takes more. A low value means that the server chooses
/// the next picture only when the previous picture has been sent almost entirely. So a slow viewer gets the newest
/// picture and not a queue of old pictures.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;

/// Sets the TCP options that live pictures need, on a connection that was just accepted. Framecast's own server calls
/// this function; a program that serves the routes with another HTTP server calls it for each connection.
///
/// By default, the kernel accepts up to some megabytes for a slow link. A picture then waits behind seconds of older
/// ones. With these options the kernel accepts more only while less than 16 KiB are not sent yet, and then at most 64
/// KiB at once. So a slow link holds back the HTTP server, and the server sends the newest picture next. The send
/// buffer keeps its size: a small one would also limit fast links with a long round trip.
///
/// If the system refuses an option, the connection still works, only less well. Systems other than Linux have only
/// `TCP_NODELAY`.
pub fn tune(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    if let Err(error) = socket.set_tcp_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = socket.set_tcp_notsent_lowat(UNSENT_BYTES) {
        debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_and_queues_little() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tune(&stream);
        let socket = socket2::SockRef::from(&stream);
        assert_eq!(
            (socket.tcp_nodelay().unwrap(), socket.tcp_notsent_lowat().unwrap()),
            (true, UNSENT_BYTES)
        );
    }
}
