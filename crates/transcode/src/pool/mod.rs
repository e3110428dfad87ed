//! Encoder threads that all cameras share, with an output queue for each output channel, which is one camera's pictures
//! in one target format.
//!
//! The caller offers a frame to an output queue ([`OutputQueue`]), where the frame waits until a thread is free. A
//! newer frame replaces the waiting one, so at most one frame waits in each output queue. The output queues take turns.
//! All threads can work on frames of one output queue at once; the pool delivers the results in the order in which the
//! frames were offered. Code that decides when to offer a frame does not belong here.

mod output_queue;
#[cfg(test)]
mod tests;
mod work_queue;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use framecast_media::Frame;

use crate::backend::Backend;
use crate::error::Error;
use crate::target_format::TargetFormat;
use crate::transcoder::Transcoder;

use output_queue::Shared;
pub use output_queue::{OutputQueue, QueueStats};
use work_queue::WorkQueue;

/// The function with which a thread transcodes each frame to the given target format.
type EncodeFn = Box<dyn FnMut(&Frame, &TargetFormat) -> Result<Frame, Error>>;

/// Threads that transcode frames of all cameras. Dropping the pool ends the threads: it discards frames that wait, and
/// waits for frames that are being transcoded.
#[derive(Debug)]
pub struct Pool {
    queue: Arc<WorkQueue<Shared>>,
    threads: Vec<JoinHandle<()>>,
    backend: Backend,
}

impl Pool {
    /// Creates a pool of `threads` threads that use the codec `backend`. The threads are named `encoder-0`, `encoder-1`
    /// and so on, and sleep until a frame is offered.
    ///
    /// # Errors
    ///
    /// When the system cannot start a thread.
    pub fn new(backend: Backend, threads: NonZeroUsize) -> std::io::Result<Self> {
        let work = move || -> Result<EncodeFn, Error> {
            let mut transcoder = Transcoder::new(backend)?;
            Ok(Box::new(move |frame, target_format| transcoder.transcode(frame, target_format)))
        };
        Self::start(backend, threads, work)
    }

    fn start(
        backend: Backend,
        threads: NonZeroUsize,
        work: impl Fn() -> Result<EncodeFn, Error> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let work = Arc::new(work);
        let mut pool = Self { queue: Arc::new(WorkQueue::new(threads)), threads: Vec::new(), backend };
        for number in 0..threads.get() {
            let (queue, work) = (pool.queue.clone(), work.clone());
            let thread = thread::Builder::new().name(format!("encoder-{number}"));
            pool.threads.push(thread.spawn(move || run(&queue, &*work))?);
        }
        Ok(pool)
    }

    /// Returns the JPEG codec that the threads use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Creates an output queue, whose frames are transcoded to `target_format`.
    pub fn output_queue(&self, target_format: TargetFormat) -> OutputQueue {
        OutputQueue::new(self.queue.clone(), target_format)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.close();
        let own = thread::current().id();
        // A delivery is allowed to drop the pool: a thread must not wait for itself.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != own) {
            // A thread catches the panics of its work and deliveries, so the result says nothing.
            let _ = thread.join();
        }
    }
}

/// Runs the loop of one thread of the pool: takes the next frame from the output queue whose turn it is, transcodes it,
/// and delivers the result. Returns when the pool has ended.
fn run(queue: &WorkQueue<Shared>, make: &dyn Fn() -> Result<EncodeFn, Error>) {
    let mut work = None;
    while let Some(output) = queue.next() {
        let Some((ticket, frame, deliver)) = output.take() else { continue };
        let started = Instant::now();
        let result = run_once(&mut work, make, &frame, &output);
        output.finish(queue, (ticket, deliver), result, started.elapsed());
    }
}

/// Transcodes one frame, and returns the result. If the codec panics, discards the codec with its state; a newly
/// created codec then transcodes the next frame.
fn run_once(
    work: &mut Option<EncodeFn>,
    make: &dyn Fn() -> Result<EncodeFn, Error>,
    frame: &Frame,
    output: &Shared,
) -> Result<Frame, Error> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let work = match work {
            Some(work) => work,
            None => work.insert(make()?),
        };
        work(frame, output.target_format())
    }));
    result.unwrap_or_else(|_| {
        *work = None;
        Err(Error::Panicked)
    })
}
