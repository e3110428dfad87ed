//! Notices coded video that goes on without a frame that can be shown.

use std::time::Duration;

use framecast_media::Error as MediaError;

/// How long video can go without a frame, although its bytes come, before this counts as a broken picture. Most cameras
/// send a keyframe every one to four seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// The wait for the next frame of a source. All times are of one clock that never goes back.
#[derive(Debug, Default)]
pub(crate) struct FrameWait {
    since: Duration,
    /// How many frames had been skipped when the last frame came.
    skipped_before: u64,
    /// Whether a broken picture explains why no frame comes.
    is_explained: bool,
}

impl FrameWait {
    /// Begins the wait at the time `now`, when `skipped_frames` had been skipped.
    pub(crate) fn begin(now: Duration, skipped_frames: u64) -> Self {
        Self { since: now, skipped_before: skipped_frames, is_explained: false }
    }

    /// Takes note that a broken picture has been reported, which explains why no frame comes.
    pub(crate) fn explain(&mut self) {
        self.is_explained = true;
    }

    /// Returns what is wrong if no frame has come for [`PATIENCE`], and then again each time after as long. `now` is the
    /// time at which the last bytes came, and `skipped_frames` have been skipped so far.
    pub(crate) fn check(
        &mut self,
        now: Duration,
        skipped_frames: u64,
        lacks_sets: bool,
    ) -> Option<MediaError> {
        if now.saturating_sub(self.since) < PATIENCE || self.is_explained {
            return None;
        }
        let problem = match skipped_frames.saturating_sub(self.skipped_before) {
            _ if lacks_sets => MediaError::NoParameterSet { set: "SPS" },
            0 => return None,
            skipped_frames => MediaError::NoKeyframe { skipped_frames },
        };
        self.since = now;
        Some(problem)
    }
}
