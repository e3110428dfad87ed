//! The ready queue: a list of the output queues that have a waiting frame, in the order in which threads serve them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use framecast_media::Frame;

use super::output_queue::{ResultCallback, Shared};

/// A frame that a thread transcodes, and what to do with the result.
pub(super) struct EncodingJob {
    pub(super) output: Arc<Shared>,
    /// The number of the frame in its output queue, by which results are put in order.
    pub(super) ticket: u64,
    pub(super) frame: Frame,
    pub(super) deliver: ResultCallback,
}

/// The ready queue: the output queues that have a waiting frame, from which idle threads take work. It contains an
/// output queue at most once, so that all output queues take turns.
#[derive(Debug)]
pub(super) struct WorkQueue {
    state: Mutex<ReadyOutputs>,
    changed: Condvar,
    threads: usize,
}

#[derive(Debug, Default)]
struct ReadyOutputs {
    ready: VecDeque<Arc<Shared>>,
    has_ended: bool,
}

impl WorkQueue {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), threads: threads.get() }
    }

    /// Returns how many frames of one output queue can be transcoded at the same time: the number of threads.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Appends an output queue that has a waiting frame to the ready queue. Does nothing after the pool has ended.
    pub(super) fn push(&self, output: Arc<Shared>) {
        let mut state = self.lock();
        if !state.has_ended {
            state.ready.push_back(output);
            self.changed.notify_one();
        }
    }

    /// Waits for a frame to transcode, and returns it. Returns `None` when the pool has ended.
    pub(super) fn next_job(&self) -> Option<EncodingJob> {
        let mut state = self.lock();
        loop {
            if state.has_ended {
                return None;
            }
            let Some(output) = state.ready.pop_front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            if let Some((ticket, frame, deliver)) = output.take() {
                return Some(EncodingJob { output, ticket, frame, deliver });
            }
            state = self.lock();
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

    fn lock(&self) -> MutexGuard<'_, ReadyOutputs> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
