//! The rate of a sequence of frames.

use std::collections::VecDeque;
use std::time::Duration;

use framecast_media::Timestamp;

/// Long enough to smooth a camera's jitter, short enough that a change shows within seconds.
const WINDOW: Duration = Duration::from_secs(3);

/// A bound for floods; at 120 frames a second the window holds 360.
const MAX_SAMPLES: usize = 512;

/// Frames per second over the last three seconds of media time.
#[derive(Debug, Default)]
pub(crate) struct Rate(VecDeque<Timestamp>);

impl Rate {
    /// Takes note of a frame at `pts`.
    pub(crate) fn record(&mut self, pts: Timestamp) {
        if self.0.back().is_some_and(|last| pts < *last) {
            // A new opening of the camera: media time began again.
            self.0.clear();
        }
        self.0.push_back(pts);
        while self.0.len() > MAX_SAMPLES || (self.0.len() > 2 && pts.saturating_since(self.0[0]) > WINDOW) {
            self.0.pop_front();
        }
    }

    /// The rate, or `None` until two frames have come.
    pub(crate) fn frames_per_second(&self) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let span = last.saturating_since(*first).as_secs_f64();
        (self.0.len() >= 2 && span > 0.0).then(|| (self.0.len() - 1) as f64 / span)
    }

    pub(crate) fn reset(&mut self) {
        self.0.clear();
    }
}
