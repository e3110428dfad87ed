//! Counts open connections, and returns freed memory to the operating system after many have ended.

use std::sync::{Arc, Mutex, MutexGuard};

use framecast_media::lock;
use tokio::runtime::Handle;

use crate::memory::schedule_return;

/// How far the number of open connections must fall below its peak before memory is returned to the operating system.
/// Each connection can have used about 50 KiB.
const MIN_ENDED: usize = 64;

/// A counter of open connections, which returns memory to the operating system when many connections have ended.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionTracker {
    counts: Arc<Mutex<OpenConnections>>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct OpenConnections {
    open: usize,
    /// The highest number of open connections since memory was last returned to the operating system.
    peak: usize,
}

impl OpenConnections {
    fn enter(&mut self) {
        self.open += 1;
        self.peak = self.peak.max(self.open);
    }

    /// Reduces the number of open connections by one. Returns true if memory should now be returned to the operating
    /// system, because that number has fallen [`MIN_ENDED`] below its peak.
    fn leave(&mut self) -> bool {
        self.open -= 1;
        let is_enough = self.peak - self.open >= MIN_ENDED;
        if is_enough {
            self.peak = self.open;
        }
        is_enough
    }
}

/// One open connection of a [`ConnectionTracker`]. Dropping this guard tells the tracker that the connection has ended.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(ConnectionTracker);

impl ConnectionTracker {
    /// Creates a tracker without connections. Must be called within a Tokio runtime. The tracker keeps a handle to that
    /// runtime for the tasks that return memory to the operating system, because connections can also end on threads
    /// outside the runtime.
    pub(crate) fn new() -> Self {
        Self { counts: Arc::default(), runtime: Handle::current() }
    }

    pub(crate) fn enter(&self) -> ConnectionGuard {
        self.lock().enter();
        ConnectionGuard(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        lock(&self.counts)
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
