//! Counts the connections since the start of the server, by their outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The outcome of a connection: accepted, or a reason for a failure. A connection that was accepted and fails later is
/// included in the counts of both outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionOutcome {
    /// The server accepted the connection, because no limit on the number of connections was reached.
    Accepted,
    /// The server refused the connection, because the server already had its maximum number of connections, or because
    /// the process had no file descriptor left.
    Refused,
    /// The server refused the connection, or a request that a proxy forwarded on it, because the client's address
    /// already had its maximum number of connections.
    RefusedAddress,
    /// The client never sent a request on the connection.
    Silent,
    /// The head of a request (request line and headers) began to arrive, but was not complete in time.
    LateHead,
    /// The client sent something other than HTTP, or a request head (request line and headers) that was too long.
    BadRequest,
    /// The connection was interrupted, or the client did not read a response in time.
    BrokenOff,
}

/// The number of connections with each outcome, such as accepted or refused. All clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionCounts(Arc<[AtomicU64; 7]>);

impl ConnectionCounts {
    pub(crate) fn count(&self, outcome: ConnectionOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of connections that the server accepted.
    #[cfg(feature = "metrics")]
    pub(crate) fn accepted(&self) -> u64 {
        self.of(ConnectionOutcome::Accepted)
    }

    /// Returns pairs of a reason for a failure, and the number of connections that failed for this reason.
    #[cfg(feature = "metrics")]
    pub(crate) fn failed(&self) -> [(&'static str, u64); 6] {
        [
            ("refused", self.of(ConnectionOutcome::Refused)),
            ("refused_address", self.of(ConnectionOutcome::RefusedAddress)),
            ("silent", self.of(ConnectionOutcome::Silent)),
            ("late_head", self.of(ConnectionOutcome::LateHead)),
            ("bad_request", self.of(ConnectionOutcome::BadRequest)),
            ("broken_off", self.of(ConnectionOutcome::BrokenOff)),
        ]
    }

    #[cfg(feature = "metrics")]
    fn of(&self, outcome: ConnectionOutcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}
