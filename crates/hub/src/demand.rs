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
    /// The server checks whether the camera works, although no client needs its pictures.
    Probe,
}

/// Who needs the pictures of a camera, counted by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DemandCounts {
    /// The number of viewers of a stream.
    pub viewers: usize,
    /// The number of clients that take a single picture.
    pub snapshots: usize,
    /// The number of checks by the server itself.
    pub probes: usize,
    /// The number of clients so far, with those that have left.
    pub clients_so_far: u64,
    /// The number of checks so far, with those that have ended.
    pub probes_so_far: u64,
}

impl DemandCounts {
    /// Returns the number of clients: viewers, and those that take a single picture.
    pub fn clients(&self) -> usize {
        self.viewers + self.snapshots
    }

    /// Returns whether the camera must be open.
    pub fn is_any(&self) -> bool {
        self.clients() > 0 || self.probes > 0
    }

    fn of(&mut self, kind: DemandKind) -> &mut usize {
        match kind {
            DemandKind::Viewer => &mut self.viewers,
            DemandKind::Snapshot => &mut self.snapshots,
            DemandKind::Probe => &mut self.probes,
        }
    }

    fn add(&mut self, kind: DemandKind) {
        *self.of(kind) += 1;
        match kind {
            DemandKind::Probe => self.probes_so_far += 1,
            DemandKind::Viewer | DemandKind::Snapshot => self.clients_so_far += 1,
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
        counts.send_modify(|counts| counts.add(kind));
        Self { counts: Arc::clone(counts), kind }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.counts.send_modify(|counts| *counts.of(self.kind) -= 1);
    }
}
