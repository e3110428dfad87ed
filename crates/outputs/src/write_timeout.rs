//! Gives up a client that takes nothing for too long. Belongs to a byte stream that passes each of its writes through
//! it; which bytes these are does not belong here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The write timeout of one byte stream.
#[derive(Debug)]
pub struct WriteTimeout {
    timeout: Duration,
    /// The timer of the write timeout; `None` while no write is pending.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    /// Creates the write timeout of a stream on which no write is pending.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, deadline: None }
    }

    /// Returns `poll`, the result of a write or a flush. Once writes have been pending for the timeout without a break,
    /// returns an error of the kind `TimedOut` instead. Must be called within a Tokio runtime.
    pub fn limit<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.deadline = None;
            return poll;
        }
        let timeout = self.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
