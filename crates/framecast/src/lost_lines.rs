//! The count of lost log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many lines of a program's log were lost. Cheap to clone; all clones share one count.
///
/// The library writes its log with `tracing` and does not know where the lines go. So the program that writes them
/// counts the lost ones, and [`App::show_lost_lines`](crate::App::show_lost_lines) puts the count into `/metrics`.
#[derive(Debug, Clone, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// Adds `lines` to the count.
    pub fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    /// The lines lost until now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
