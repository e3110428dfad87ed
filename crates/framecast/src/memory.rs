//! Returns freed memory to the system, soon after a camera became idle or many connections ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long freed memory stays in the heap, so that one call returns all that is freed at about the same time.
const DELAY: Duration = Duration::from_secs(1);

/// How many connections must end, beyond those that opened, before their memory goes back: each may have used about 50
/// KiB.
const MANY: usize = 64;

/// Returns the freed memory of all threads' heaps to the system. Callers at about the same time share one return,
/// because it blocks each thread that allocates meanwhile.
pub(crate) fn return_soon(runtime: &Handle) {
    static IS_DUE: AtomicBool = AtomicBool::new(false);
    /// Clears the flag when the return begins, or when the runtime ends before.
    struct Due;
    impl Drop for Due {
        fn drop(&mut self) {
            IS_DUE.store(false, Ordering::Release);
        }
    }
    if IS_DUE.swap(true, Ordering::AcqRel) {
        return;
    }
    let due = Due;
    runtime.spawn(async move {
        sleep(DELAY).await;
        // Memory that is freed from now on needs a new call.
        drop(due);
        tokio::task::spawn_blocking(framecast_sys::return_free_memory);
    });
}

/// Counts the open connections. When many have ended, it returns their memory to the system.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    counts: Arc<Mutex<Counts>>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    /// The peak of open connections since the last return of memory.
    most: usize,
}

impl Counts {
    fn enter(&mut self) {
        self.open += 1;
        self.most = self.most.max(self.open);
    }

    /// Whether enough connections have ended since the last return of memory.
    fn leave(&mut self) -> bool {
        self.open -= 1;
        let is_many = self.most - self.open >= MANY;
        if is_many {
            self.most = self.open;
        }
        is_many
    }
}

/// One connection of a [`Crowd`], until its owner drops it.
#[derive(Debug)]
pub(crate) struct Member(Crowd);

impl Crowd {
    /// A tracker without connections. The caller must be within the runtime that returns the memory, because
    /// connections end on other threads, too.
    pub(crate) fn new() -> Self {
        Self { counts: Arc::default(), runtime: Handle::current() }
    }

    pub(crate) fn enter(&self) -> Member {
        self.lock().enter();
        Member(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let is_many = self.0.lock().leave();
        if is_many {
            return_soon(&self.0.runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_when_many_more_have_ended_than_came() {
        let mut counts = Counts::default();
        for _ in 0..200 {
            counts.enter();
        }
        // As many connections open as end.
        for _ in 0..1000 {
            assert!(!counts.leave());
            counts.enter();
        }
        let returned = (0..200).filter(|_| counts.leave()).count();
        assert_eq!((returned, counts.open), (200 / MANY, 0));
    }
}
