//! Encoder threads that all cameras share, with an output queue for each output channel.
//!
//! The caller offers a frame to the output queue ([`OutputQueue`]), where it waits until a thread is free; a newer frame
//! replaces it, so at most one frame waits in each output queue. The output queues take turns. All threads may work on
//! frames of the same one; the pool delivers their results in the order of the offers. When to offer does not belong
//! here.

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
use work_queue::{EncodingJob, WorkQueue};

/// What a thread does with a frame.
type EncodeFn = Box<dyn FnMut(&Frame, &TargetFormat) -> Result<Frame, Error>>;

/// Threads that transcode. Dropping the pool ends them: it discards waiting frames, and finishes those being coded.
#[derive(Debug)]
pub struct Pool {
    queue: Arc<WorkQueue>,
    threads: Vec<JoinHandle<()>>,
    backend: Backend,
}

impl Pool {
    /// A pool of `threads` threads named `encoder-0` and on. They sleep until a frame is offered.
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

    /// The codec in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// An output queue that transcodes frames to `target_format`.
    pub fn output_queue(&self, target_format: TargetFormat) -> OutputQueue {
        OutputQueue::new(self.queue.clone(), target_format)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.close();
        let own = thread::current().id();
        // A delivery may drop the pool: a thread must not wait for itself.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != own) {
            // A thread catches the panics of its work and deliveries, so the result says nothing.
            let _ = thread.join();
        }
    }
}

/// A thread's loop: takes the next frame of the next output queue until the pool ends.
fn run(queue: &WorkQueue, make: &dyn Fn() -> Result<EncodeFn, Error>) {
    let mut work = None;
    while let Some(EncodingJob { output, ticket, frame, deliver }) = queue.next_job() {
        let started = Instant::now();
        let result = run_once(&mut work, make, &frame, &output);
        output.finish(queue, (ticket, deliver), result, started.elapsed());
    }
}

/// Transcodes one frame. A codec that panicked is discarded with its state.
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
