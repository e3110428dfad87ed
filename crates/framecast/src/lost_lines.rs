//! The count of lost log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter of the log lines that a program lost. Cloning is cheap, and all clones share one count.
///
/// The library logs with `tracing` and does not know where the lines go. So the program that writes the lines counts
/// the lost lines, and [`App::show_lost_lines`](crate::App::show_lost_lines) adds the count to `/metrics`.
#[derive(Debug, Clone, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// Adds `lines` to the count.
    pub fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns the number of lines lost so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
