//! Makes a [`Source`] of devices and code that block: a named thread reads the frames and passes them on through a
//! bounded channel. Dropping the source joins the thread.
//!
//! The channel holds one frame, so a slow reader makes the thread wait. A thread that must not wait (because its device
//! would overrun) drops frames itself. The thread works in the tracing span of the code that spawned it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as sync_mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use framecast_media::Frame;
use tokio::sync::mpsc;
use tracing::{Span, warn};

use crate::{BoxFuture, Error, Source};

/// How long a dropped source waits for its thread before it logs a warning. The source goes on waiting after the
/// warning, so code that drops sources must tolerate a blocking drop. Without the warning, nobody would notice that
/// each opening of a hanging device leaves one more thread.
const JOIN_WARN_AFTER: Duration = Duration::from_secs(1);

/// The sending end of the channel from a thread that reads a device to its [`BlockingSource`].
#[derive(Debug)]
pub struct Sink {
    frames: mpsc::Sender<Result<Frame, Error>>,
    repaired: Arc<AtomicU64>,
}

/// The error that a [`Sink`] returns once its source was dropped. The thread should then return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Sink {
    /// Sends a frame or an error to the source and waits until the channel has room.
    ///
    /// # Errors
    /// [`Closed`] when the source was dropped.
    pub fn send(&self, frame: Result<Frame, Error>) -> Result<(), Closed> {
        self.frames.blocking_send(frame).map_err(|_| Closed)
    }

    /// Sets the total number of frames so far that were made of repaired pictures, as [`Source::repaired_frames`]
    /// reports it.
    pub fn set_repaired_frames(&self, repaired: u64) {
        self.repaired.store(repaired, Ordering::Relaxed);
    }

    /// Sleeps until `deadline`, or until the source is dropped. Call it only on the spawned thread.
    ///
    /// # Errors
    /// [`Closed`] when the source was dropped.
    pub fn sleep_until(&self, deadline: Instant) -> Result<(), Closed> {
        loop {
            if self.is_closed() {
                return Err(Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::park_timeout(left);
        }
    }

    /// Returns whether the source was dropped.
    pub fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}

/// A source whose frames come from its own thread. Dropping the source closes the channel and waits until the thread
/// has returned, even if the thread blocks for a long time.
#[derive(Debug)]
pub struct BlockingSource {
    frames: mpsc::Receiver<Result<Frame, Error>>,
    repaired: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    /// A channel that is disconnected once the thread has returned.
    returned: sync_mpsc::Receiver<()>,
}

/// Runs `work` on a new thread called `name` until `work` returns. If `work` panics, the source yields
/// [`Error::Panicked`].
///
/// # Errors
/// [`Error::CannotRun`] when the system cannot start another thread.
pub fn spawn(name: &str, work: impl FnOnce(&Sink) + Send + 'static) -> Result<BlockingSource, Error> {
    let (sender, frames) = mpsc::channel(1);
    let (running, returned) = sync_mpsc::channel();
    let span = Span::current();
    let repaired = Arc::new(AtomicU64::new(0));
    let sink = Sink { frames: sender, repaired: Arc::clone(&repaired) };
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _running: sync_mpsc::Sender<()> = running;
            let run = AssertUnwindSafe(|| span.in_scope(|| work(&sink)));
            if let Err(panic) = catch_unwind(run) {
                let message = panic_message(panic.as_ref());
                // If the source was dropped, nobody needs this error.
                sink.send(Err(Error::Panicked { message })).ok();
            }
        })
        .map_err(|source| Error::CannotRun { program: format!("thread {name}"), source })?;
    Ok(BlockingSource { frames, repaired, thread: Some(thread), returned })
}

impl Source for BlockingSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(async move { self.frames.recv().await.transpose() })
    }

    fn repaired_frames(&self) -> u64 {
        self.repaired.load(Ordering::Relaxed)
    }
}

impl Drop for BlockingSource {
    fn drop(&mut self) {
        self.frames.close();
        // A frame that is still in the channel may hold a buffer that the thread needs.
        while self.frames.try_recv().is_ok() {}
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if self.returned.recv_timeout(JOIN_WARN_AFTER) == Err(sync_mpsc::RecvTimeoutError::Timeout) {
            let name = thread.thread().name().unwrap_or_default();
            warn!("the thread `{name}` does not stop; waiting for it");
        }
        // The thread catches its own panics.
        thread.join().ok();
    }
}

/// Returns the text of a caught panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::sync::Arc;
    use std::time::SystemTime;

    use framecast_media::{Bytes, Codec, Format, Timestamp};

    use super::*;

    fn frame(ticks: i64) -> Frame {
        Frame::new(
            Bytes::from_static(b"picture"),
            Timestamp::from_ticks(ticks),
            SystemTime::now(),
            Arc::new(Format::new(Codec::Jpeg, 1, 1)),
        )
    }

    /// Runs `end` when it is dropped.
    struct OnDrop<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    #[tokio::test]
    async fn frames_come_in_order_and_the_source_ends_when_the_thread_returns() {
        let mut source = spawn("three", |sink| {
            for ticks in 1..=3 {
                sink.send(Ok(frame(ticks))).unwrap();
            }
        })
        .unwrap();
        for ticks in 1..=3 {
            assert_eq!(source.next_frame().await.unwrap().unwrap().pts.ticks(), ticks);
        }
        assert!(source.next_frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_panic_of_the_thread_is_an_error_of_the_source() {
        let mut source = spawn("panics", |_| panic!("the lens is {}", "gone")).unwrap();
        let error = source.next_frame().await.unwrap_err();
        assert_eq!(error.to_string(), "the driver panicked: the lens is gone");
        assert!(source.next_frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_dropped_source_has_released_what_its_thread_held() {
        let (released, is_released) = sync_mpsc::channel();
        let device = OnDrop(move || released.send(()).unwrap());
        let mut source = spawn("device", move |sink| {
            let _device = device;
            while sink.send(Ok(frame(0))).is_ok() {}
        })
        .unwrap();
        source.next_frame().await.unwrap();
        drop(source);
        is_released.try_recv().unwrap();
    }

    #[test]
    fn dropping_wakes_a_thread_that_sleeps() {
        let (returned, has_returned) = sync_mpsc::channel();
        let source = spawn("sleeps", move |sink| {
            let far = Instant::now() + Duration::from_secs(3600);
            returned.send(sink.sleep_until(far)).unwrap();
        })
        .unwrap();
        drop(source);
        assert_eq!(has_returned.try_recv(), Ok(Err(Closed)));
    }
}
