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

#[cfg(test)]
mod tests {
    use super::*;

    fn at_millis(millis: u64) -> Timestamp {
        Timestamp::from_duration(Duration::from_millis(millis))
    }

    #[test]
    fn one_frame_has_no_rate() {
        let mut rate = Rate::default();
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(5));
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(5));
        assert_eq!(rate.frames_per_second(), None, "nor have two at one time");
    }

    #[test]
    fn a_change_shows_within_the_window() {
        let mut rate = Rate::default();
        (0..500).for_each(|n| rate.record(at_millis(n * 20)));
        assert!((rate.frames_per_second().unwrap() - 50.0).abs() < 0.1);
        (0..40).for_each(|n| rate.record(at_millis(10_000 + n * 100)));
        assert!((rate.frames_per_second().unwrap() - 10.0).abs() < 0.1);
    }

    #[test]
    fn a_camera_that_is_slower_than_the_window_has_a_rate_too() {
        let mut rate = Rate::default();
        (0..5).for_each(|n| rate.record(at_millis(n * 10_000)));
        assert_eq!(rate.frames_per_second(), Some(0.1));
    }

    #[test]
    fn media_time_that_begins_again_begins_the_rate_again() {
        let mut rate = Rate::default();
        (0..100).for_each(|n| rate.record(at_millis(n * 20)));
        rate.record(at_millis(0));
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(500));
        assert_eq!(rate.frames_per_second(), Some(2.0));
    }

    #[test]
    fn a_flood_does_not_fill_memory() {
        let mut rate = Rate::default();
        (0..100_000).for_each(|n| rate.record(Timestamp::from_ticks(n)));
        assert_eq!(rate.0.len(), MAX_SAMPLES);
        assert!((rate.frames_per_second().unwrap() - 90_000.0).abs() < 1.0);
    }
}
