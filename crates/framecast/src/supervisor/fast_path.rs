//! The fast path of frames: from the driver's thread directly to the viewers, without the supervisor.
//!
//! With the fast path, a live camera without problems costs its supervisor nothing per frame. The supervisor opens the
//! fast path after the first frame, and closes it before it reports any other state of the camera. The supervisor looks
//! up the time of the last frame only before it would treat the camera as stalled.

use std::sync::{Mutex, MutexGuard, PoisonError};

use framecast_hub::Feed;
use framecast_media::Frame;
use tokio::time::Instant;

use super::frame_intervals::FrameIntervals;

/// The fast path of one source, on which frames go directly to the viewers. While it is closed, as at first, frames go
/// to the supervisor instead.
#[derive(Debug, Default)]
pub(crate) struct FastPath(Mutex<FastPathState>);

#[derive(Debug, Default)]
struct FastPathState {
    is_open: bool,
    /// The number of frames that [`publish`](FastPath::publish) returned and that its caller has not published yet.
    /// Later frames must not overtake these frames.
    returned_frames: usize,
    last_frame_at: Option<Instant>,
    intervals: FrameIntervals,
}

impl FastPath {
    /// Creates a closed fast path, on which no frame goes directly to the viewers yet. `intervals` are the intervals
    /// between the camera's pictures so far.
    pub(crate) fn new(intervals: FrameIntervals) -> Self {
        Self(Mutex::new(FastPathState { intervals, ..FastPathState::default() }))
    }

    /// Publishes `frame` directly to the viewers and returns `None`. Returns the frame instead if the fast path is
    /// closed, or if the caller has not yet published a frame that an earlier call returned. The caller must then
    /// publish the returned frame itself and call [`frame_published`](Self::frame_published).
    pub(crate) fn publish(&self, feed: &Feed, frame: Frame) -> Option<Frame> {
        let mut state = self.lock();
        let now = Instant::now();
        state.intervals.record(now);
        if !state.is_open || state.returned_frames > 0 {
            state.returned_frames += 1;
            return Some(frame);
        }
        state.last_frame_at = Some(now);
        // Published under the lock, so that no frame takes the fast path once it is closed.
        feed.publish(frame);
        None
    }

    /// Records that the caller published a frame that [`publish`](Self::publish) had returned.
    pub(crate) fn frame_published(&self) {
        let mut state = self.lock();
        state.returned_frames = state.returned_frames.saturating_sub(1);
    }

    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// Closes the fast path. From then on, [`publish`](Self::publish) returns each frame to its caller.
    pub(crate) fn close(&self) {
        self.lock().is_open = false;
    }

    /// Returns when the last frame went through the fast path, directly to the viewers; `None` if there was none.
    pub(crate) fn last_frame_at(&self) -> Option<Instant> {
        self.lock().last_frame_at
    }

    /// Returns the intervals between all pictures so far, including those that [`publish`](Self::publish) returned to
    /// its caller.
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
