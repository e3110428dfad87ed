//! Counts connections by outcome since the start of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The outcome of a connection. An accepted connection has a second outcome if it fails later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionOutcome {
    /// The connection got a permit.
    Accepted,
    /// All permits of the server were in use, or the process had no file descriptor left for the connection.
    Refused,
    /// The server refused a connection, or a request that a proxy forwarded, because all permits of the client's
    /// address were in use.
    RefusedAddress,
    /// The client never sent a request.
    Silent,
    /// The head of a request did not arrive in time.
    LateHead,
    /// The client sent something other than HTTP, or a head that was too long.
    BadRequest,
    /// The connection was interrupted, or the client did not read a response in time.
    BrokenOff,
}

/// The number of connections with each outcome. Cheap to clone; all clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionCounts(Arc<[AtomicU64; 7]>);

impl ConnectionCounts {
    pub(crate) fn count(&self, outcome: ConnectionOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of connections that got a permit.
    pub(crate) fn accepted(&self) -> u64 {
        self.of(ConnectionOutcome::Accepted)
    }

    /// Returns the number of failed connections for each reason.
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

    fn of(&self, outcome: ConnectionOutcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}
