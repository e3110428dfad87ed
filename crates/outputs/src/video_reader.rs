//! Reads the coded video of a camera for one viewer, so that a decoder can use every frame that it gets and none is old.
//!
//! The video is read in order from the newest keyframe. A viewer that is behind loses disposable frames first, then
//! everything up to the newest keyframe. How frames are sent, and when, is decided by the outputs.

use std::time::{Duration, SystemTime};

use framecast_hub::{Delivery, Feed, Subscriber, Update};
use framecast_media::Frame;

/// The maximum time by which a viewer may be behind the newest frame. Beyond it, frames are dropped.
const MAX_LAG: Duration = Duration::from_millis(500);

/// What a viewer of coded video gets next.
#[derive(Debug)]
pub(crate) enum VideoUpdate {
    /// A frame. All frames that it needs were returned before.
    Frame(Update),
    /// A drawn picture that says why the camera shows none. The next frame is a keyframe.
    Slate(#[cfg_attr(not(feature = "live"), expect(dead_code, reason = "streams end at a slate"))] Frame),
}

/// A viewer's position in the coded video of a camera.
#[derive(Debug)]
pub(crate) struct VideoReader {
    /// Reads what the camera shows: the newest keyframe or a slate.
    shown: Subscriber,
    /// Reads the frames; `None` while the camera shows none.
    frames: Option<Subscriber>,
    /// The slate that was read last and not returned yet.
    slate: Option<Frame>,
    /// The sequence number of the last slate that was read.
    slate_sequence: u64,
    /// The frame that was put back.
    pending: Option<Update>,
    /// Whether the viewer has once had every frame that there was. Before, it catches up from the newest keyframe.
    has_caught_up: bool,
    dropped: u64,
}

impl VideoReader {
    pub(crate) fn new(feed: &Feed) -> Self {
        Self {
            shown: feed.video_channel().observe(Delivery::Latest),
            frames: None,
            slate: None,
            slate_sequence: 0,
            pending: None,
            has_caught_up: false,
            dropped: 0,
        }
    }

    /// Returns a subscriber of the channel that is read, for those who wait for it.
    pub(crate) fn channel(&self) -> &Subscriber {
        &self.shown
    }

    /// Returns whether [`next`](Self::next) may return something.
    pub(crate) fn has_next(&mut self) -> bool {
        let has_next = match &self.frames {
            Some(frames) => self.pending.is_some() || frames.has_next() || self.shown.has_next(),
            None => self.is_live(),
        };
        self.has_caught_up |= !has_next && self.frames.is_some();
        has_next || self.slate.is_some()
    }

    /// Returns the next frame or slate of `feed`, the camera that this reader was made for; `None` if there is none now.
    pub(crate) fn next(&mut self, feed: &Feed) -> Option<VideoUpdate> {
        if self.shown.has_next() {
            self.is_live();
        }
        while self.slate.is_none() {
            let Some(update) = self.read(feed) else { break };
            if self.is_too_late(&update, feed) {
                self.dropped += 1;
            } else if age(&update.frame) > MAX_LAG && !self.is_live() {
                // The camera was lost before its last frames were sent, and they must not pass for live.
                self.restart();
            } else {
                return Some(VideoUpdate::Frame(update));
            }
        }
        self.slate.take().map(VideoUpdate::Slate)
    }

    /// Makes [`next`](Self::next) return `update`, the frame that it returned last, again.
    #[cfg(feature = "live")]
    pub(crate) fn put_back(&mut self, update: Update) {
        self.pending = Some(update);
    }

    /// Begins again at the newest keyframe that the camera shows.
    pub(crate) fn restart(&mut self) {
        (self.frames, self.pending) = (None, None);
        self.has_caught_up = false;
    }

    /// Returns whether the viewer has once had every frame that there was. Before, its frames are those that a decoder
    /// needs for the newest one.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.has_caught_up
    }

    /// Returns how many frames were dropped because the viewer was behind.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns whether the camera shows its frames. Takes a new slate, which shows that it does not.
    fn is_live(&mut self) -> bool {
        let Some(update) = self.shown.current() else { return false };
        if update.is_slate && update.sequence != self.slate_sequence {
            self.restart();
            (self.slate_sequence, self.slate) = (update.sequence, Some(update.frame));
        }
        !update.is_slate
    }

    /// Takes the next frame.
    fn read(&mut self, feed: &Feed) -> Option<Update> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        if self.frames.is_none() && self.is_live() {
            let frames = feed.video_channel().subscribe(Delivery::InOrder);
            self.frames = Some(frames.with_max_lag(MAX_LAG));
        }
        let update = self.frames.as_mut()?.try_next();
        self.has_caught_up |= update.is_none();
        self.dropped += update.as_ref().map_or(0, |update| update.skipped);
        update
    }

    /// Returns whether no other frame needs the frame, and the viewer is too far behind to get it.
    fn is_too_late(&self, update: &Update, feed: &Feed) -> bool {
        let frame = &update.frame;
        self.has_caught_up && frame.is_disposable && !frame.is_keyframe && is_behind(frame, feed)
    }
}

/// Returns whether the newest frame of `feed` was captured so long after `frame` that a viewer which gets `frame` now is
/// behind.
pub(crate) fn is_behind(frame: &Frame, feed: &Feed) -> bool {
    let newest = feed.video_channel().newest_captured_at();
    newest.and_then(|newest| newest.duration_since(frame.captured_at).ok()).is_some_and(|lag| lag > MAX_LAG)
}

/// Returns how long ago the frame came, by this machine's clock.
fn age(frame: &Frame) -> Duration {
    SystemTime::now().duration_since(frame.wall_time).unwrap_or_default()
}
