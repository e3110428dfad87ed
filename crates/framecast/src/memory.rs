//! When memory that was freed goes back to the system: soon after a camera became idle, or many connections ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long memory that was freed is kept: what is freed at about the same time goes back at once.
const DELAY: Duration = Duration::from_secs(1);

/// How many connections have to end, more than came, before their memory goes back: each may have had some 50 KiB.
const MANY: usize = 64;

/// Gives memory that was freed in any thread's heap back to the system, once for all who ask for it at about the same time: it
/// holds up each thread that allocates meanwhile.
pub(crate) fn return_soon(runtime: &Handle) {
    static IS_DUE: AtomicBool = AtomicBool::new(false);
    /// Takes the note back when it is done, or when the runtime ends before.
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
        // What is freed from now on needs a call of its own.
        drop(due);
        tokio::task::spawn_blocking(framecast_sys::return_free_memory);
    });
}

/// The connections that are open. Once many have ended their memory goes back to the system.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    counts: Arc<Mutex<Counts>>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    /// The most that were open since memory went back.
    most: usize,
}

impl Counts {
    fn enter(&mut self) {
        self.open += 1;
        self.most = self.most.max(self.open);
    }

    /// Whether many have ended since memory went back.
    fn leave(&mut self) -> bool {
        self.open -= 1;
        let is_many = self.most - self.open >= MANY;
        if is_many {
            self.most = self.open;
        }
        is_many
    }
}

/// One of a [`Crowd`], until it is dropped.
#[derive(Debug)]
pub(crate) struct Member(Crowd);

impl Crowd {
    /// Nobody. Must be made within the runtime that gives the memory back: connections end on other threads, too.
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
        // As many come as go.
        for _ in 0..1000 {
            assert!(!counts.leave());
            counts.enter();
        }
        let returned = (0..200).filter(|_| counts.leave()).count();
        assert_eq!((returned, counts.open), (200 / MANY, 0));
    }
}
