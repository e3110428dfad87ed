//! Refuses connections when the process has no file descriptor left to accept them.
//!
//! The server keeps one descriptor in reserve. When no other descriptor is left, the server closes the reserved one,
//! accepts the next connection with the freed descriptor, responds with 503, and reserves a descriptor again. So
//! clients get a response instead of waiting in the kernel's accept queue.

use std::fs::File;
use std::io;
use std::time::Duration;

use framecast_outputs::{RateLimitedLog, Socket};
use futures_util::FutureExt;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::listener::ListeningSocket;
use crate::error_chain::remedy;

/// The pause after a connection could not be accepted even with the reserved file descriptor. The pause prevents a busy
/// loop.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long the server waits for the client's request before it sends the refusal. A request that arrived after the
/// refusal would reset the connection, and the client would lose the refusal.
const REQUEST_WAIT: Duration = Duration::from_millis(50);

/// The complete HTTP response that refuses a connection when the process has no file descriptor left.
const NO_DESCRIPTOR: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
Content-Length: 70\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\
{\"error\":\"the server has no file descriptor left; wait and try again\"}";

/// Returns whether `error` says that the process, or the whole system, has no file descriptor left.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    remedy(error).is_some()
}

/// The file descriptor that the server keeps in reserve, to be freed for the refusal of one connection at a time.
#[derive(Debug)]
pub(super) struct SpareDescriptor {
    file: Option<File>,
    warning: RateLimitedLog,
}

impl SpareDescriptor {
    pub(super) fn new() -> Self {
        Self { file: open(), warning: RateLimitedLog::default() }
    }

    /// Accepts the next connection with the reserved file descriptor, and refuses this connection with status 503. Logs
    /// a warning at most once a minute. Returns true if there was a connection to refuse. Otherwise pauses and returns
    /// false.
    pub(super) async fn refuse_one(
        &mut self,
        listener: &ListeningSocket,
        error: &io::Error,
        max_connections: usize,
    ) -> bool {
        if let Some(times) = self.warning.should_log() {
            warn!(times, "cannot accept connections: {}", describe(error, max_connections));
        }
        self.file = None;
        let accepted = listener.accept().now_or_never();
        let is_refused = match accepted {
            Some(Ok((socket, _))) => {
                refuse(socket).await;
                true
            }
            // Another thread accepted the connection first, or the client has gone.
            Some(Err(_)) | None => false,
        };
        self.file = open();
        if !is_refused {
            sleep(RETRY_DELAY).await;
        }
        is_refused
    }
}

/// Reserves a file descriptor by opening a file. Returns `None` if the file cannot be opened; a later call might
/// succeed.
fn open() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Returns a log message that says why connections cannot be accepted, and what the user can do about this.
fn describe(error: &io::Error, max_connections: usize) -> String {
    let remedy = remedy(error).unwrap_or_default();
    if Errno::from_io_error(error) == Some(Errno::NFILE) {
        return format!("this system has no file descriptor left; {remedy}");
    }
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map(|limit| format!("all {limit} file descriptors of this process are in use"));
    let limit = limit.unwrap_or_else(|| "this process has no file descriptor left".to_owned());
    format!("{limit}; {remedy}, or lower max_connections={max_connections}")
}

async fn refuse(mut socket: Socket) {
    // Read the request: closing with unread data would reset the connection, and the client would lose the answer.
    let _read = timeout(REQUEST_WAIT, socket.read(&mut [0; 8192])).await;
    let telling = async {
        socket.write_all(NO_DESCRIPTOR).await?;
        socket.shutdown().await
    };
    // If the client does not read its refusal, it has gone, or the end of this function closes its connection.
    let _told = timeout(REQUEST_WAIT, telling).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(NO_DESCRIPTOR).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn the_lack_is_told_with_its_cure() {
        let lacking = |errno: Errno| io::Error::from(errno);
        assert!(is_exhausted(&lacking(Errno::MFILE)) && is_exhausted(&lacking(Errno::NFILE)));
        assert!(!is_exhausted(&lacking(Errno::NOMEM)));
        let mfile = describe(&lacking(Errno::MFILE), 1024);
        assert!(
            mfile.contains("ulimit -n")
                && mfile.contains("LimitNOFILE=")
                && mfile.contains("max_connections=1024")
        );
        assert!(describe(&lacking(Errno::NFILE), 1024).contains("fs.file-max"));
    }
}
