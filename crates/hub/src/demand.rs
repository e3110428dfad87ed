//! Why a camera is open: who needs its pictures.

use std::sync::Arc;

use tokio::sync::watch;

/// Why somebody needs the pictures of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DemandKind {
    /// A viewer watches a stream.
    Viewer,
    /// A client takes a single picture.
    Snapshot,
}

/// How many clients need the pictures of a camera, by their reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DemandCounts {
    /// The number of viewers of a stream.
    pub viewers: usize,
    /// The number of clients that take a single picture.
    pub snapshots: usize,
}

impl DemandCounts {
    /// Returns the number of clients of all kinds.
    pub fn total(&self) -> usize {
        self.viewers + self.snapshots
    }

    fn of(&mut self, kind: DemandKind) -> &mut usize {
        match kind {
            DemandKind::Viewer => &mut self.viewers,
            DemandKind::Snapshot => &mut self.snapshots,
        }
    }
}

/// The reason why a camera is open, until the value is dropped. While a camera has a demand, the server keeps it open.
#[derive(Debug)]
pub struct Demand {
    counts: Arc<watch::Sender<DemandCounts>>,
    kind: DemandKind,
}

impl Demand {
    /// Adds a demand of this kind to `counts`.
    pub(crate) fn new(counts: &Arc<watch::Sender<DemandCounts>>, kind: DemandKind) -> Self {
        counts.send_modify(|counts| *counts.of(kind) += 1);
        Self { counts: Arc::clone(counts), kind }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.counts.send_modify(|counts| *counts.of(self.kind) -= 1);
    }
}
