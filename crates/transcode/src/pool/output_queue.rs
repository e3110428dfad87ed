//! The queue through which the frames of one output channel, which is one camera's pictures in one target format, reach
//! the threads of the pool.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use std::time::Duration;

use framecast_media::{Format, Frame, lock, unpoisoned};

use super::work_queue::WorkQueue;
use crate::error::Error;
use crate::target_format::TargetFormat;

type ResultCallback = Box<dyn FnOnce(Result<Frame, Error>) + Send>;

/// What happened to the frames of an output queue since the queue was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// The number of frames that were transcoded to JPEG.
    pub encoded: u64,
    /// The number of frames that were not transcoded, because a newer frame came before a thread was free.
    pub dropped: u64,
    /// The number of frames that could not be transcoded because of an error.
    pub errors: u64,
    /// The time that threads spent on transcoding frames of this queue, without waiting for a thread and without
    /// delivery.
    pub encoding_time: Duration,
}

/// The queue of one output channel (one camera's pictures in one target format) in a [`Pool`](super::Pool). It holds at
/// most one waiting frame.
///
/// Dropping the queue discards the waiting frame, and waits for a `deliver` function (see [`push`](Self::push)) that is
/// running; none is called after that. So `deliver` must not wait for a thread that drops this output queue. But
/// `deliver` itself is allowed to drop the queue.
#[derive(Debug)]
pub struct OutputQueue {
    shared: Arc<Shared>,
    queue: Arc<WorkQueue<Shared>>,
}

impl OutputQueue {
    pub(super) fn new(queue: Arc<WorkQueue<Shared>>, target_format: TargetFormat) -> Self {
        let shared = Shared { target_format, state: Mutex::default(), delivered: Condvar::new() };
        Self { shared: Arc::new(shared), queue }
    }

    /// Offers a frame to the pool. Never blocks: the frame waits until a thread is free. If a frame is waiting already,
    /// `frame` replaces it, and `dropped` in the [statistics](QueueStats) goes up by one. After the pool has ended, an
    /// offer has no effect.
    ///
    /// A thread of the pool calls `deliver` with the transcoded frame or the error. The results of this queue are
    /// delivered in the order in which the frames were offered, and never two at a time. `deliver` should be quick,
    /// because the thread transcodes nothing meanwhile.
    pub fn push(&self, frame: Frame, deliver: impl FnOnce(Result<Frame, Error>) + Send + 'static) {
        let mut state = self.shared.lock();
        if state.waiting.replace((frame, Box::new(deliver))).is_some() {
            state.stats.dropped += 1;
        }
        self.shared.enqueue_if_ready(state, &self.queue);
    }

    /// Returns what happened to the frames of this output queue so far.
    pub fn stats(&self) -> QueueStats {
        self.shared.lock().stats
    }

    /// Returns the size and quality to which frames of this queue are transcoded.
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
            state = unpoisoned(self.shared.delivered.wait(state));
        }
        drop(state);
        drop(forgotten);
    }
}

/// The part of an output queue that the pool's threads share with the queue's owner.
pub(super) struct Shared {
    target_format: TargetFormat,
    state: Mutex<OutputState>,
    /// Wakes a thread that drops the output queue and waits for the end of a delivery.
    delivered: Condvar,
}

#[derive(Default)]
struct OutputState {
    waiting: Option<(Frame, ResultCallback)>,
    /// Whether this output queue is in the ready queue, which lists the output queues that have a frame to transcode.
    is_ready: bool,
    is_closed: bool,
    /// The number of frames that threads have taken from this queue so far. The next frame gets this number as its
    /// ticket, by which results are put in order.
    taken_count: u64,
    /// The number of results that were delivered so far, which is also the ticket of the frame whose result comes next.
    delivered_count: u64,
    /// The results that cannot be delivered yet, because that of an earlier frame is missing. The key is the ticket of
    /// the frame, its number in the order of the queue.
    done: BTreeMap<u64, (Result<Frame, Error>, ResultCallback)>,
    /// The thread that is delivering results of this queue now; `None` if no thread is.
    delivering: Option<ThreadId>,
    /// The format of the last delivered frame. If the next delivered frame has an equal format, it shares this
    /// allocation.
    format: Option<Arc<Format>>,
    stats: QueueStats,
}

impl Shared {
    pub(super) fn target_format(&self) -> &TargetFormat {
        &self.target_format
    }

    /// Takes the waiting frame out of the queue. Returns the frame's ticket (its number in the order of the queue), the
    /// frame, and the callback for the result. Returns `None` if no frame is waiting.
    pub(super) fn take(&self) -> Option<(u64, Frame, ResultCallback)> {
        let mut state = self.lock();
        state.is_ready = false;
        let (frame, deliver) = state.waiting.take()?;
        state.taken_count += 1;
        Some((state.taken_count - 1, frame, deliver))
    }

    /// Keeps the result of the frame with the number `ticket`, and adds it to the statistics. Then delivers all results
    /// for which no earlier result is missing, unless another thread is delivering already.
    pub(super) fn finish(
        self: &Arc<Self>,
        queue: &WorkQueue<Shared>,
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

    /// Delivers results in the order of their frames, until a result is missing or the output queue is closed.
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

    /// Adds this output queue to the ready queue, from which threads take work, if a frame is waiting and the number of
    /// threads that work on this queue is below the limit.
    fn enqueue_if_ready(self: &Arc<Self>, mut state: MutexGuard<'_, OutputState>, queue: &WorkQueue<Shared>) {
        let on_threads = state.taken_count - state.delivered_count;
        let may = state.waiting.is_some() && !state.is_ready && !state.is_closed;
        if may && on_threads < queue.threads() as u64 {
            state.is_ready = true;
            drop(state);
            queue.push(self.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        lock(&self.state)
    }
}

impl OutputState {
    /// If the frame's format equals that of the previously delivered frame, makes both frames share one allocation of
    /// it.
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
