//! The outcomes of connections, counted since the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The outcome of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionOutcome {
    /// The connection got a permit.
    Accepted,
    /// All permits were in use.
    Refused,
    /// All permits of its address were in use, for the connection or for a request that a proxy forwarded.
    RefusedAddress,
    /// The client never sent a request.
    Silent,
    /// The head of a request came too late.
    LateHead,
    /// The client sent something other than HTTP.
    BadRequest,
    /// The connection broke off, or the client did not read an answer in time.
    BrokenOff,
}

/// Counts by outcome. Cheap to clone; all clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionCounts(Arc<[AtomicU64; 7]>);

impl ConnectionCounts {
    pub(crate) fn count(&self, outcome: ConnectionOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that got a permit.
    pub(crate) fn accepted(&self) -> u64 {
        self.of(ConnectionOutcome::Accepted)
    }

    /// Connections that failed, by a word for the reason.
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
