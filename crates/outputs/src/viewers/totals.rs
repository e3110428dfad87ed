//! Totals of one camera over all its viewers, since the start of the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::age_histogram::AgeHistogram;
use super::end_reason::{EndCounts, EndReason};

/// Totals of one camera over all its viewers since the start of the server. Viewers that have left are included.
#[derive(Debug, Default)]
pub struct CameraTotals {
    frames: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    age: AgeHistogram,
    painted_age: AgeHistogram,
    endings: EndCounts,
}

impl CameraTotals {
    pub(super) fn sent(&self, bytes: usize, age: Duration) {
        self.resent(bytes);
        self.age.observe(age);
    }

    pub(super) fn resent(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.sent_beside(bytes);
    }

    pub(super) fn sent_beside(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, frames: u64) {
        self.skipped.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn painted(&self, age: Duration) {
        self.painted_age.observe(age);
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

    /// Returns a histogram of the ages of pictures when the server gave them to the kernel, counted from their capture.
    pub fn age(&self) -> &AgeHistogram {
        &self.age
    }

    /// Returns a histogram of the ages of pictures when clients reported that they had painted them, counted from their
    /// capture.
    pub fn painted_age(&self) -> &AgeHistogram {
        &self.painted_age
    }

    /// Iterates over all reasons why a stream can end, with the number of streams that ended for each, including zeros.
    pub fn endings(&self) -> impl Iterator<Item = (EndReason, u64)> + '_ {
        self.endings.iter()
    }
}
