//! What became of connections, counted since the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It had a place.
    Accepted,
    /// There was no place for it.
    Refused,
    /// Its address had no place left, for it or for a request that a proxy passed on.
    RefusedAddress,
    /// Nothing was ever asked on it.
    Silent,
    /// The head of a request did not come in time.
    LateHead,
    /// What it sent was no HTTP.
    BadRequest,
    /// It broke off, or took nothing of an answer in time.
    BrokenOff,
}

/// Counts by fate. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<[AtomicU64; 7]>);

impl Counts {
    pub(crate) fn count(&self, fate: Fate) {
        self.0[fate as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that had a place.
    pub(crate) fn accepted(&self) -> u64 {
        self.of(Fate::Accepted)
    }

    /// Connections that ended otherwise than they should, by a word for why.
    pub(crate) fn failed(&self) -> [(&'static str, u64); 6] {
        [
            ("refused", self.of(Fate::Refused)),
            ("refused_address", self.of(Fate::RefusedAddress)),
            ("silent", self.of(Fate::Silent)),
            ("late_head", self.of(Fate::LateHead)),
            ("bad_request", self.of(Fate::BadRequest)),
            ("broken_off", self.of(Fate::BrokenOff)),
        ]
    }

    fn of(&self, fate: Fate) -> u64 {
        self.0[fate as usize].load(Ordering::Relaxed)
    }
}
