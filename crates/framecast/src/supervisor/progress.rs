//! How far the thread that reads a camera's source has come, for the camera's supervisor.
//!
//! The thread publishes the frames itself, so a live camera without problems costs its supervisor nothing per frame.
//! The thread hands over only a frame that the supervisor awaits: the first one, and the first one after a silence. The
//! supervisor looks up the time of the last frame only before it would treat the camera as stalled.

use std::sync::{Mutex, MutexGuard};

use framecast_media::lock;
use tokio::time::Instant;

use super::frame_intervals::FrameIntervals;

/// The progress of one reader thread.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<ProgressState>);

#[derive(Debug)]
struct ProgressState {
    intervals: FrameIntervals,
    is_frame_awaited: bool,
}

impl Progress {
    /// Creates the progress of a thread whose first frame the supervisor awaits. `intervals` are the intervals between
    /// the camera's pictures so far.
    pub(crate) fn new(intervals: FrameIntervals) -> Self {
        Self(Mutex::new(ProgressState { intervals, is_frame_awaited: true }))
    }

    /// Records that a frame arrived. To be called before the frame is published: then no frame that viewers see is
    /// unknown to a supervisor that looks here. Returns whether the thread must hand over the frame to the supervisor.
    pub(crate) fn record_frame(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.intervals.record(now);
        std::mem::take(&mut state.is_frame_awaited)
    }

    /// Records that a picture was broken.
    pub(crate) fn record_broken(&self) {
        self.lock().intervals.record_broken();
    }

    /// Makes the thread hand over the next frame.
    pub(crate) fn await_frame(&self) {
        self.lock().is_frame_awaited = true;
    }

    /// Ends what [`await_frame`](Self::await_frame) began. A frame may already be on its way.
    pub(crate) fn stop_awaiting(&self) {
        self.lock().is_frame_awaited = false;
    }

    /// Returns the intervals between all pictures of the camera so far.
    pub(crate) fn intervals(&self) -> FrameIntervals {
        self.lock().intervals
    }

    fn lock(&self) -> MutexGuard<'_, ProgressState> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_frame_is_handed_over_and_then_only_those_that_are_awaited() {
        let progress = Progress::new(FrameIntervals::default());
        let now = Instant::now();
        assert!(progress.record_frame(now) && !progress.record_frame(now));
        progress.await_frame();
        assert!(progress.record_frame(now) && !progress.record_frame(now));
        progress.await_frame();
        progress.stop_awaiting();
        assert!(!progress.record_frame(now));
        assert_eq!((progress.intervals().pictures(), progress.intervals().last_at()), (5, Some(now)));
    }
}
