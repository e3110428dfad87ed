//! Devices and code that block, made into a [`Source`]: a named thread, a bounded channel, joined on drop.
//!
//! The channel holds one frame: a reader that is behind makes the thread wait, so a thread that must not wait for
//! its reader (a device that overruns) drops frames itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use framecast_media::Frame;
use tokio::sync::mpsc;

use crate::{BoxFuture, Error, Source};

/// The thread's end: where it puts frames.
#[derive(Debug)]
pub struct Sink(mpsc::Sender<Result<Frame, Error>>);

/// The source was dropped: the thread should return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Sink {
    /// Hands over a frame or an error and waits until there is room.
    ///
    /// # Errors
    /// [`Closed`] when the source was dropped.
    pub fn send(&self, frame: Result<Frame, Error>) -> Result<(), Closed> {
        self.0.blocking_send(frame).map_err(|_| Closed)
    }

    /// Whether the source was dropped.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// A source whose frames are made on a thread of its own. Dropping it closes the channel and waits for the thread.
#[derive(Debug)]
pub struct Blocking {
    frames: mpsc::Receiver<Result<Frame, Error>>,
    thread: Option<JoinHandle<()>>,
}

/// Runs `work` on a new thread called `name` until it returns; a panic in it becomes [`Error::Panicked`].
///
/// # Errors
/// [`Error::CannotRun`] when the system has no thread left.
pub fn spawn(name: &str, work: impl FnOnce(&Sink) + Send + 'static) -> Result<Blocking, Error> {
    let (sender, frames) = mpsc::channel(1);
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let sink = Sink(sender);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&sink))) {
                let message = panic_message(panic.as_ref());
                // A dropped source no longer wants to know.
                sink.send(Err(Error::Panicked { message })).ok();
            }
        })
        .map_err(|source| Error::CannotRun { program: format!("thread {name}"), source })?;
    Ok(Blocking { frames, thread: Some(thread) })
}

impl Source for Blocking {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(async move { self.frames.recv().await.transpose() })
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        self.frames.close();
        if let Some(thread) = self.thread.take() {
            // The thread's panics were caught inside it.
            thread.join().ok();
        }
    }
}

/// The text of a caught panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
