//! Refuses connections when the process has no file descriptor left to accept them.
//!
//! The listener holds one descriptor in reserve. It closes that, accepts the connection with it, answers 503, and opens
//! the reserve again. So clients get an answer, and do not wait in the kernel's queue for one that never comes.

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

use super::listener::ConnectionListener;
use crate::error_chain::remedy;

/// The pause if even the reserve cannot accept a connection, to avoid a busy loop.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long the listener waits for the request before it answers. A request that arrives after the answer resets the
/// connection, and the client loses the answer.
const REQUEST_WAIT: Duration = Duration::from_millis(50);

/// The complete answer.
const NO_DESCRIPTOR: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
Content-Length: 70\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\
{\"error\":\"the server has no file descriptor left; wait and try again\"}";

/// Whether the process, or the system, has no descriptor left.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    remedy(error).is_some()
}

/// The descriptor in reserve.
#[derive(Debug)]
pub(super) struct SpareDescriptor {
    file: Option<File>,
    warning: RateLimitedLog,
}

impl SpareDescriptor {
    pub(super) fn new() -> Self {
        Self { file: open(), warning: RateLimitedLog::default() }
    }

    /// Answers the next connection with 503, and logs that once a minute. Returns whether there was a connection to
    /// answer; if not, it pauses before it returns.
    pub(super) async fn refuse_one(
        &mut self,
        listener: &ConnectionListener,
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

/// If even this open fails, the next attempt may succeed.
fn open() -> Option<File> {
    File::open("/dev/null").ok()
}

/// The reason, and what the user can do.
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
    // A client that does not read its refusal has gone, or the end of this function closes it.
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
