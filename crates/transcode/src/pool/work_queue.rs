//! The ready queue: a list of the output queues that have a waiting frame, in the order in which threads serve them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use framecast_media::{lock, unpoisoned};

/// The ready queue: the output queues `T` that have a waiting frame, from which idle threads take work. Each output
/// queue adds itself at most once, so that all output queues take turns.
#[derive(Debug)]
pub(super) struct WorkQueue<T> {
    state: Mutex<ReadyOutputs<T>>,
    changed: Condvar,
    threads: usize,
}

#[derive(Debug)]
struct ReadyOutputs<T> {
    ready: VecDeque<Arc<T>>,
    has_ended: bool,
}

impl<T> WorkQueue<T> {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        let state = ReadyOutputs { ready: VecDeque::new(), has_ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), threads: threads.get() }
    }

    /// Returns how many frames of one output queue can be transcoded at the same time: the number of threads.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Appends an output queue that has a waiting frame to the ready queue. Does nothing after the pool has ended.
    pub(super) fn push(&self, output: Arc<T>) {
        let mut state = self.lock();
        if !state.has_ended {
            state.ready.push_back(output);
            self.changed.notify_one();
        }
    }

    /// Waits for an output queue that has a waiting frame, and takes it out of the ready queue. Returns `None` when the
    /// pool has ended.
    pub(super) fn next(&self) -> Option<Arc<T>> {
        let mut state = self.lock();
        loop {
            if state.has_ended {
                return None;
            }
            if let Some(output) = state.ready.pop_front() {
                return Some(output);
            }
            state = unpoisoned(self.changed.wait(state));
        }
    }

    /// Ends the work of the pool: makes all threads end, and removes all output queues.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        // The callback of an output queue might refer to the owner of this queue, so drop it outside the lock.
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        drop(ready);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, ReadyOutputs<T>> {
        lock(&self.state)
    }
}
