//! The lanes that have a frame to be taken, in the order in which they got it.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use framecast_media::Frame;

use super::lane::{Deliver, Shared};

/// A frame for a thread.
pub(super) struct Taken {
    pub(super) lane: Arc<Shared>,
    /// Its place in the lane's order.
    pub(super) ticket: u64,
    pub(super) frame: Frame,
    pub(super) deliver: Deliver,
}

/// What threads wait at. A lane stands in it at most once, so that each gets its turn.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    threads: usize,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Arc<Shared>>,
    has_ended: bool,
}

impl Queue {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), threads: threads.get() }
    }

    /// Frames of one lane that may be on threads at a time.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Puts a lane that has a frame at the end; nothing after the pool's end.
    pub(super) fn push(&self, lane: Arc<Shared>) {
        let mut state = self.lock();
        if !state.has_ended {
            state.ready.push_back(lane);
            self.changed.notify_one();
        }
    }

    /// Waits for the next frame; `None` when the pool has ended.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut state = self.lock();
        loop {
            if state.has_ended {
                return None;
            }
            let Some(lane) = state.ready.pop_front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            if let Some((ticket, frame, deliver)) = lane.take() {
                return Some(Taken { lane, ticket, frame, deliver });
            }
            state = self.lock();
        }
    }

    /// Wakes all threads for the last time, and lets go of all lanes.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        // A lane refers to the queue's owner through its callback, maybe.
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        drop(ready);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
