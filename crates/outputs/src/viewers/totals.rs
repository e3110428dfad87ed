//! Totals of one camera over all its viewers, since the start of the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::end_reason::{EndCounts, EndReason};

/// The upper bounds of the buckets for a picture's age, in seconds: from the delay of the network alone to an age that
/// nobody would call live.
const AGES_S: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Totals of one camera over all its viewers since the start of the server. Viewers that have left are included.
#[derive(Debug)]
pub struct CameraTotals {
    frames: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    age: Histogram,
    painted_age: Histogram,
    endings: EndCounts,
}

impl Default for CameraTotals {
    fn default() -> Self {
        let [frames, bytes, skipped] = [0; 3].map(AtomicU64::new);
        let [age, painted_age] = [(); 2].map(|()| Histogram::new(AGES_S));
        Self { frames, bytes, skipped, age, painted_age, endings: EndCounts::default() }
    }
}

impl CameraTotals {
    pub(super) fn sent(&self, bytes: usize, age: Duration) {
        self.resent(bytes);
        self.age.observe(age.as_secs_f64());
    }

    pub(super) fn resent(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, frames: u64) {
        self.skipped.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn painted(&self, age: Duration) {
        self.painted_age.observe(age.as_secs_f64());
    }

    pub(super) fn ended(&self, end_reason: EndReason) {
        self.endings.count(end_reason);
    }

    /// Returns the number of pictures sent to all viewers of the camera.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes sent to all viewers of the camera, including the multipart framing.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of frames that the camera's viewers missed because newer ones replaced them.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns a histogram of the ages of pictures when the server gave them to the kernel, in seconds since their
    /// capture.
    pub fn age(&self) -> &Histogram {
        &self.age
    }

    /// Returns a histogram of the ages of pictures when clients reported that they had painted them, in seconds since
    /// the capture.
    pub fn painted_age(&self) -> &Histogram {
        &self.painted_age
    }

    /// Iterates over all reasons why a stream can end, with the number of streams that ended for each, including zeros.
    pub fn endings(&self) -> impl Iterator<Item = (EndReason, u64)> + '_ {
        self.endings.iter()
    }
}
