//! The queue through which one output channel passes frames to the pool.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use framecast_media::{Format, Frame};

use super::work_queue::WorkQueue;
use crate::error::Error;
use crate::target_format::TargetFormat;

pub(super) type ResultCallback = Box<dyn FnOnce(Result<Frame, Error>) + Send>;

/// The counts of an output queue since it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// The number of frames that became JPEG frames.
    pub encoded: u64,
    /// The number of frames that a newer frame replaced before a thread was free.
    pub dropped: u64,
    /// The number of frames that could not be encoded or decoded.
    pub errors: u64,
    /// The time that threads spent on encoding and decoding this queue's frames, without waiting and delivery.
    pub encoding_time: Duration,
}

/// The queue of one output channel in a [`Pool`](super::Pool). It holds at most one waiting frame.
///
/// Dropping the queue discards the waiting frame and waits for a running delivery; no delivery follows. So a delivery
/// must not wait for a thread that drops its output queue. A delivery is allowed to drop its own output queue.
#[derive(Debug)]
pub struct OutputQueue {
    shared: Arc<Shared>,
    queue: Arc<WorkQueue>,
}

impl OutputQueue {
    pub(super) fn new(queue: Arc<WorkQueue>, target_format: TargetFormat) -> Self {
        let shared = Shared { target_format, state: Mutex::default(), delivered: Condvar::new() };
        Self { shared: Arc::new(shared), queue }
    }

    /// Offers a frame. Never blocks: the frame waits until a thread is free. If another frame is already waiting, the
    /// new frame replaces that frame, which counts as dropped. After the pool has ended, an offer has no effect.
    ///
    /// A thread of the pool passes the result to `deliver`. Results are passed in the order of the offers, and never
    /// two at a time. `deliver` should be quick, because the thread encodes nothing meanwhile.
    pub fn push(&self, frame: Frame, deliver: impl FnOnce(Result<Frame, Error>) + Send + 'static) {
        let mut state = self.shared.lock();
        if state.waiting.replace((frame, Box::new(deliver))).is_some() {
            state.stats.dropped += 1;
        }
        self.shared.enqueue_if_ready(state, &self.queue);
    }

    /// Returns the counts of this output queue so far.
    pub fn stats(&self) -> QueueStats {
        self.shared.lock().stats
    }

    /// Returns the target format for which the queue was created.
    pub fn target_format(&self) -> &TargetFormat {
        &self.shared.target_format
    }
}

impl Drop for OutputQueue {
    fn drop(&mut self) {
        let own = thread::current().id();
        let mut state = self.shared.lock();
        state.is_closed = true;
        let forgotten = (state.waiting.take(), std::mem::take(&mut state.done));
        while state.delivering.is_some_and(|thread| thread != own) {
            state = self.shared.delivered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        drop(forgotten);
    }
}

/// The part of an output queue that the pool's threads use.
pub(super) struct Shared {
    target_format: TargetFormat,
    state: Mutex<OutputState>,
    /// Signalled when a delivery has ended.
    delivered: Condvar,
}

#[derive(Default)]
struct OutputState {
    waiting: Option<(Frame, ResultCallback)>,
    /// Whether this output queue is in the ready queue.
    is_ready: bool,
    is_closed: bool,
    /// The number of frames that threads have taken so far, which is the ticket of the next frame.
    taken_count: u64,
    /// The number of results delivered so far, which is the ticket of the next result.
    delivered_count: u64,
    /// Results, by ticket, that wait for the result of an earlier frame.
    done: BTreeMap<u64, (Result<Frame, Error>, ResultCallback)>,
    /// The thread that is delivering results.
    delivering: Option<ThreadId>,
    /// The format that all frames share until it changes.
    format: Option<Arc<Format>>,
    stats: QueueStats,
}

impl Shared {
    pub(super) fn target_format(&self) -> &TargetFormat {
        &self.target_format
    }

    /// Takes the waiting frame. Also returns the frame's ticket and its callback.
    pub(super) fn take(&self) -> Option<(u64, Frame, ResultCallback)> {
        let mut state = self.lock();
        state.is_ready = false;
        let (frame, deliver) = state.waiting.take()?;
        state.taken_count += 1;
        Some((state.taken_count - 1, frame, deliver))
    }

    /// Stores the result for the frame with this ticket, and delivers all results that are in order now.
    pub(super) fn finish(
        self: &Arc<Self>,
        queue: &WorkQueue,
        (ticket, deliver): (u64, ResultCallback),
        result: Result<Frame, Error>,
        spent: Duration,
    ) {
        let mut state = self.lock();
        state.stats.encoding_time += spent;
        match result {
            Ok(_) => state.stats.encoded += 1,
            Err(_) => state.stats.errors += 1,
        }
        state.done.insert(ticket, (result, deliver));
        if state.delivering.is_none() {
            state = self.deliver_in_order(state);
        }
        self.enqueue_if_ready(state, queue);
    }

    /// Delivers results in order until a result is missing or the output queue is closed.
    fn deliver_in_order<'a>(&'a self, mut state: MutexGuard<'a, OutputState>) -> MutexGuard<'a, OutputState> {
        state.delivering = Some(thread::current().id());
        while !state.is_closed {
            let next = state.delivered_count;
            let Some((mut result, deliver)) = state.done.remove(&next) else { break };
            if let Ok(frame) = &mut result {
                state.share_format(frame);
            }
            drop(state);
            // A panic in a delivery affects only its own channel, so the delivery counts as finished.
            let _ = catch_unwind(AssertUnwindSafe(|| deliver(result)));
            state = self.lock();
            state.delivered_count += 1;
        }
        state.delivering = None;
        self.delivered.notify_all();
        state
    }

    /// Puts the output queue into the ready queue if a frame is waiting and another thread is allowed to work on it.
    fn enqueue_if_ready(self: &Arc<Self>, mut state: MutexGuard<'_, OutputState>, queue: &WorkQueue) {
        let on_threads = state.taken_count - state.delivered_count;
        let may = state.waiting.is_some() && !state.is_ready && !state.is_closed;
        if may && on_threads < queue.threads() as u64 {
            state.is_ready = true;
            drop(state);
            queue.push(self.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputState {
    /// Makes frames of equal formats share one pointer to the format, whichever thread encoded them.
    fn share_format(&mut self, frame: &mut Frame) {
        match &self.format {
            Some(format) if *format == frame.format => frame.format = format.clone(),
            _ => self.format = Some(frame.format.clone()),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target_format", &self.target_format).finish_non_exhaustive()
    }
}
