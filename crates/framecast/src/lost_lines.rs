//! What is lost of a program's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many lines of a program's log were lost. Cheap to clone; all clones count together.
///
/// The library writes its log with `tracing` and does not know where it goes: who writes the lines counts those that are
/// lost, and [`App::show_lost_lines`](crate::App::show_lost_lines) puts the count into `/metrics`.
#[derive(Debug, Clone, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// Counts `lines` more.
    pub fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many there are by now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
