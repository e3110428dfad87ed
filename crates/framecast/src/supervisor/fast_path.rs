//! The fast path of frames from the driver's thread to the viewers, while the supervisor has nothing to decide about
//! them.
//!
//! A live camera without problems costs its supervisor nothing per frame. The supervisor opens the fast path after the
//! first frame, and closes it before it reports anything else about the camera. It looks up the time of the last frame
//! only when it would otherwise take the camera for silent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use framecast_hub::Feed;
use framecast_media::Frame;
use tokio::time::Instant;

use super::frame_intervals::FrameIntervals;

/// The fast path of one source; closed at first.
#[derive(Debug, Default)]
pub(crate) struct FastPath(Mutex<FastPathState>);

#[derive(Debug, Default)]
struct FastPathState {
    is_open: bool,
    /// Frames that were returned to the caller and are not published yet; no later frame may overtake them.
    returned_frames: usize,
    last_frame_at: Option<Instant>,
    intervals: FrameIntervals,
}

impl FastPath {
    /// A fast path for a camera whose pictures came as in `intervals` until now.
    pub(crate) fn new(intervals: FrameIntervals) -> Self {
        Self(Mutex::new(FastPathState { intervals, ..FastPathState::default() }))
    }

    /// Publishes `frame`, or returns it if the fast path is closed. The caller then publishes it and calls
    /// [`frame_published`](Self::frame_published).
    pub(crate) fn publish(&self, feed: &Feed, frame: Frame) -> Option<Frame> {
        let mut state = self.lock();
        let now = Instant::now();
        state.intervals.record(now);
        if !state.is_open || state.returned_frames > 0 {
            state.returned_frames += 1;
            return Some(frame);
        }
        state.last_frame_at = Some(now);
        // Under the lock, so that no frame passes once the fast path is closed.
        feed.publish(frame);
        None
    }

    /// Records that the caller published a returned frame.
    pub(crate) fn frame_published(&self) {
        let mut state = self.lock();
        state.returned_frames = state.returned_frames.saturating_sub(1);
    }

    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// After this no frame passes.
    pub(crate) fn close(&self) {
        self.lock().is_open = false;
    }

    /// When the last frame passed.
    pub(crate) fn last_frame_at(&self) -> Option<Instant> {
        self.lock().last_frame_at
    }

    /// The intervals between all pictures so far, passed or returned.
    pub(crate) fn intervals(&self) -> FrameIntervals {
        self.lock().intervals
    }

    fn lock(&self) -> MutexGuard<'_, FastPathState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use framecast_hub::Hub;
    use framecast_testkit::{frame, number_of};

    use super::*;

    #[tokio::test]
    async fn no_frame_overtakes_those_that_were_given_back() {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let newest = || feed.main_channel().newest().and_then(|frame| number_of(&frame.data));
        let fast_path = FastPath::default();
        let first = fast_path.publish(&feed, frame(1)).unwrap();
        let second = fast_path.publish(&feed, frame(2)).unwrap();
        assert_eq!(fast_path.last_frame_at(), None);
        feed.publish(first);
        fast_path.frame_published();
        fast_path.open();
        let third = fast_path.publish(&feed, frame(3)).expect("the second is not published yet");
        for returned_frames in [second, third] {
            feed.publish(returned_frames);
            fast_path.frame_published();
        }
        assert!(fast_path.publish(&feed, frame(4)).is_none());
        assert_eq!(newest(), Some(4));
        assert!(fast_path.last_frame_at().is_some());
        fast_path.close();
        assert!(fast_path.publish(&feed, frame(5)).is_some());
        assert_eq!(newest(), Some(4));
    }
}
