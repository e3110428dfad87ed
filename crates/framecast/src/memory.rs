//! Returns freed memory to the system, soon after a camera became idle or many connections ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long freed memory stays in the heap, so that one call returns all that is freed at about the same time.
const RETURN_DELAY: Duration = Duration::from_secs(1);

/// How many connections must end, beyond those that opened, before their memory goes back: each may have used about 50
/// KiB.
const MIN_ENDED: usize = 64;

/// Returns the freed memory of all threads' heaps to the system. Callers at about the same time share one return,
/// because it blocks each thread that allocates meanwhile.
pub(crate) fn schedule_return(runtime: &Handle) {
    static IS_DUE: AtomicBool = AtomicBool::new(false);
    /// Clears the flag when the return begins, or when the runtime ends before.
    struct ResetOnDrop;
    impl Drop for ResetOnDrop {
        fn drop(&mut self) {
            IS_DUE.store(false, Ordering::Release);
        }
    }
    if IS_DUE.swap(true, Ordering::AcqRel) {
        return;
    }
    let due = ResetOnDrop;
    runtime.spawn(async move {
        sleep(RETURN_DELAY).await;
        // Memory that is freed from now on needs a new call.
        drop(due);
        tokio::task::spawn_blocking(framecast_sys::trim_heap);
    });
}

/// Counts the open connections. When many have ended, it returns their memory to the system.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionTracker {
    counts: Arc<Mutex<OpenConnections>>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct OpenConnections {
    open: usize,
    /// The peak of open connections since the last return of memory.
    peak: usize,
}

impl OpenConnections {
    fn enter(&mut self) {
        self.open += 1;
        self.peak = self.peak.max(self.open);
    }

    /// Whether enough connections have ended since the last return of memory.
    fn leave(&mut self) -> bool {
        self.open -= 1;
        let is_enough = self.peak - self.open >= MIN_ENDED;
        if is_enough {
            self.peak = self.open;
        }
        is_enough
    }
}

/// One connection of a [`ConnectionTracker`], until its owner drops it.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(ConnectionTracker);

impl ConnectionTracker {
    /// A tracker without connections. The caller must be within the runtime that returns the memory, because
    /// connections end on other threads, too.
    pub(crate) fn new() -> Self {
        Self { counts: Arc::default(), runtime: Handle::current() }
    }

    pub(crate) fn enter(&self) -> ConnectionGuard {
        self.lock().enter();
        ConnectionGuard(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let is_enough = self.0.lock().leave();
        if is_enough {
            schedule_return(&self.0.runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_when_many_more_have_ended_than_came() {
        let mut counts = OpenConnections::default();
        for _ in 0..200 {
            counts.enter();
        }
        // As many connections open as end.
        for _ in 0..1000 {
            assert!(!counts.leave());
            counts.enter();
        }
        let returned = (0..200).filter(|_| counts.leave()).count();
        assert_eq!((returned, counts.open), (200 / MIN_ENDED, 0));
    }
}
