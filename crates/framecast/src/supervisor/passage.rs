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

use super::rhythm::Rhythm;

/// The fast path of one source; closed at first.
#[derive(Debug, Default)]
pub(crate) struct Passage(Mutex<Door>);

#[derive(Debug, Default)]
struct Door {
    is_open: bool,
    /// Frames that were returned to the caller and are not published yet; no later frame may overtake them.
    given_back: usize,
    passed_at: Option<Instant>,
    rhythm: Rhythm,
}

impl Passage {
    /// A fast path for a camera whose pictures came as in `rhythm` until now.
    pub(crate) fn new(rhythm: Rhythm) -> Self {
        Self(Mutex::new(Door { rhythm, ..Door::default() }))
    }

    /// Publishes `frame`, or returns it if the fast path is closed. The caller then publishes it and calls
    /// [`published`](Self::published).
    pub(crate) fn publish(&self, feed: &Feed, frame: Frame) -> Option<Frame> {
        let mut door = self.lock();
        let now = Instant::now();
        door.rhythm.note(now);
        if !door.is_open || door.given_back > 0 {
            door.given_back += 1;
            return Some(frame);
        }
        door.passed_at = Some(now);
        // Under the lock, so that no frame passes once the fast path is closed.
        feed.publish(frame);
        None
    }

    /// Records that the caller published a returned frame.
    pub(crate) fn published(&self) {
        let mut door = self.lock();
        door.given_back = door.given_back.saturating_sub(1);
    }

    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// After this no frame passes.
    pub(crate) fn close(&self) {
        self.lock().is_open = false;
    }

    /// When the last frame passed.
    pub(crate) fn passed_at(&self) -> Option<Instant> {
        self.lock().passed_at
    }

    /// The intervals between all pictures so far, passed or returned.
    pub(crate) fn rhythm(&self) -> Rhythm {
        self.lock().rhythm
    }

    fn lock(&self) -> MutexGuard<'_, Door> {
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
        let newest = || feed.channel().newest().and_then(|frame| number_of(&frame.data));
        let passage = Passage::default();
        let first = passage.publish(&feed, frame(1)).unwrap();
        let second = passage.publish(&feed, frame(2)).unwrap();
        assert_eq!(passage.passed_at(), None);
        feed.publish(first);
        passage.published();
        passage.open();
        let third = passage.publish(&feed, frame(3)).expect("the second is not published yet");
        for given_back in [second, third] {
            feed.publish(given_back);
            passage.published();
        }
        assert!(passage.publish(&feed, frame(4)).is_none());
        assert_eq!(newest(), Some(4));
        assert!(passage.passed_at().is_some());
        passage.close();
        assert!(passage.publish(&feed, frame(5)).is_some());
        assert_eq!(newest(), Some(4));
    }
}
