//! Tells a task that serves the subscribers of many channels which of these channels published something.
//!
//! The task registers a token with each channel. A channel that publishes something puts its token into the task's
//! queue, unless the token is already there, and wakes the task once. So the publisher's cost of a wake-up does not
//! depend on the number of subscribers. The task then asks each subscriber of the channel for its next frame.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use framecast_media::lock;

/// The queue of a task that serves the subscribers of many channels. The queue holds the tokens of the channels that
/// published something. A token is a number by which the task knows a channel.
#[derive(Debug, Default)]
pub struct ReadySet(Arc<Mutex<ReadyQueue>>);

#[derive(Debug, Default)]
struct ReadyQueue {
    /// The tokens of the channels that published something, in the order in which the channels published. No token
    /// occurs twice.
    tokens: VecDeque<usize>,
    waker: Option<Waker>,
}

impl ReadySet {
    /// Removes and returns the token of the next channel that published something. Pending while the queue is empty.
    /// After the registration of a token is dropped, this token might still be returned once.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut queue = lock(&self.0);
        if let Some(token) = queue.tokens.pop_front() {
            return Poll::Ready(token);
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Creates the handle by which a channel puts `token` into this queue and wakes the queue's task.
    pub(crate) fn handle(&self, token: usize) -> Arc<WakeHandle> {
        Arc::new(WakeHandle { token, queue: Arc::clone(&self.0), is_paused: AtomicBool::new(false) })
    }
}

/// The handle by which a channel puts a token into the queue of a task, and wakes the task.
#[derive(Debug)]
pub(crate) struct WakeHandle {
    token: usize,
    queue: Arc<Mutex<ReadyQueue>>,
    is_paused: AtomicBool,
}

impl WakeHandle {
    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::SeqCst);
    }

    /// Puts the token into the queue and wakes the task, unless the handle is paused.
    pub(crate) fn wake(&self) {
        if self.is_paused.load(Ordering::SeqCst) {
            return;
        }
        let mut queue = lock(&self.queue);
        if queue.tokens.contains(&self.token) {
            return;
        }
        queue.tokens.push_back(self.token);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
