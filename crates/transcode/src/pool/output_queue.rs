//! The path of one output channel through the pool.

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

/// What an output queue has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Frames that became JPEG frames.
    pub encoded: u64,
    /// Frames that a newer one replaced before a thread was free.
    pub dropped: u64,
    /// Frames that could not be coded.
    pub errors: u64,
    /// Time that threads spent on the frames of this output queue: only coding, without waiting and delivery.
    pub encoding_time: Duration,
}

/// One output channel's path through a [`Pool`](super::Pool).
///
/// Dropping it discards the waiting frame. The drop waits for a running delivery, and no delivery follows: so a
/// delivery must not wait for a thread that drops its output queue. It may drop the output queue itself.
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

    /// Offers a frame. Never blocks: the frame waits until a thread is free, and replaces a frame that waits already,
    /// which counts as dropped. After the pool's end an offer has no effect.
    ///
    /// A thread of the pool passes the result to `deliver`, in the order of the offers and never two at a time.
    /// `deliver` should be quick, because the thread encodes nothing meanwhile.
    pub fn push(&self, frame: Frame, deliver: impl FnOnce(Result<Frame, Error>) + Send + 'static) {
        let mut state = self.shared.lock();
        if state.waiting.replace((frame, Box::new(deliver))).is_some() {
            state.stats.dropped += 1;
        }
        self.shared.enqueue_if_ready(state, &self.queue);
    }

    /// The counts of this output queue so far.
    pub fn stats(&self) -> QueueStats {
        self.shared.lock().stats
    }

    /// The target for which it was made.
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

/// The part of an output queue that threads see.
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
    /// Frames taken by threads so far, which is the next one's ticket.
    taken_count: u64,
    /// Results delivered so far, which is the ticket of the next one.
    delivered_count: u64,
    /// Results that wait for an earlier one.
    done: BTreeMap<u64, (Result<Frame, Error>, ResultCallback)>,
    /// The thread that is delivering.
    delivering: Option<ThreadId>,
    /// Shared by all frames until it changes.
    format: Option<Arc<Format>>,
    stats: QueueStats,
}

impl Shared {
    pub(super) fn target_format(&self) -> &TargetFormat {
        &self.target_format
    }

    /// The waiting frame, and its ticket.
    pub(super) fn take(&self) -> Option<(u64, Frame, ResultCallback)> {
        let mut state = self.lock();
        state.is_ready = false;
        let (frame, deliver) = state.waiting.take()?;
        state.taken_count += 1;
        Some((state.taken_count - 1, frame, deliver))
    }

    /// Takes the result for the frame at `ticket`, and delivers all results that are in order now.
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

    /// Delivers results in order, until one is missing or the output queue is closed.
    fn deliver_in_order<'a>(&'a self, mut state: MutexGuard<'a, OutputState>) -> MutexGuard<'a, OutputState> {
        state.delivering = Some(thread::current().id());
        while !state.is_closed {
            let next = state.delivered_count;
            let Some((mut result, deliver)) = state.done.remove(&next) else { break };
            if let Ok(frame) = &mut result {
                state.share_format(frame);
            }
            drop(state);
            // A delivery that panics affects only its own channel, so it counts as finished.
            let _ = catch_unwind(AssertUnwindSafe(|| deliver(result)));
            state = self.lock();
            state.delivered_count += 1;
        }
        state.delivering = None;
        self.delivered.notify_all();
        state
    }

    /// Puts the output queue into the ready queue if a frame waits and another thread may work on it.
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
    /// Makes equal formats share one pointer, whichever thread made them.
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
