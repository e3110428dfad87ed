//! Measures the frame rate of a sequence of frames.

use std::collections::VecDeque;
use std::time::Duration;

use framecast_media::Timestamp;

/// The time over which the frame rate is averaged: long enough to smooth a camera's jitter, short enough to show a
/// change within seconds.
const WINDOW: Duration = Duration::from_secs(3);

/// The maximum number of frames whose timestamps are kept for the measurement, in case a source floods the server. At
/// 120 frames a second, three seconds have only 360 frames.
const MAX_SAMPLES: usize = 512;

/// A measurement of the frames per second over the last three seconds, by the decoding times of the frames: with
/// B-frames, the times at which frames are shown go back.
#[derive(Debug, Default)]
pub(crate) struct FrameRate {
    frames: VecDeque<Timestamp>,
    /// Whether the first frame after the camera was opened has been removed from the measurement. The time between that
    /// frame and the next does not show the camera's rate.
    is_settled: bool,
}

impl FrameRate {
    /// Records a frame that is decoded at `dts`.
    pub(crate) fn record(&mut self, dts: Timestamp) {
        if self.frames.back().is_some_and(|last| dts < *last) {
            // The camera was opened again, so media time started again.
            self.reset();
        }
        let frames = &mut self.frames;
        frames.push_back(dts);
        if !self.is_settled && frames.len() > 2 {
            frames.pop_front();
            self.is_settled = true;
        }
        while frames.len() > MAX_SAMPLES || (frames.len() > 2 && dts.saturating_since(frames[0]) > WINDOW) {
            frames.pop_front();
        }
    }

    /// Returns the rate in frames per second, or `None` until three frames have arrived.
    pub(crate) fn frames_per_second(&self) -> Option<f64> {
        let (first, last) = (self.frames.front()?, self.frames.back()?);
        let span = last.saturating_since(*first).as_secs_f64();
        (self.is_settled && span > 0.0).then(|| (self.frames.len() - 1) as f64 / span)
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_millis(millis: u64) -> Timestamp {
        Timestamp::from_duration(Duration::from_millis(millis))
    }

    #[test]
    fn two_frames_have_no_rate() {
        let mut rate = FrameRate::default();
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(5));
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(5));
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(5));
        assert_eq!(rate.frames_per_second(), None, "nor have three at one time");
    }

    #[test]
    fn a_change_shows_within_the_window() {
        let mut rate = FrameRate::default();
        (0..500).for_each(|n| rate.record(at_millis(n * 20)));
        assert!((rate.frames_per_second().unwrap() - 50.0).abs() < 0.1);
        (0..40).for_each(|n| rate.record(at_millis(10_000 + n * 100)));
        assert!((rate.frames_per_second().unwrap() - 10.0).abs() < 0.1);
    }

    #[test]
    fn a_camera_that_is_slower_than_the_window_has_a_rate_too() {
        let mut rate = FrameRate::default();
        (0..5).for_each(|n| rate.record(at_millis(n * 10_000)));
        assert_eq!(rate.frames_per_second(), Some(0.1));
    }

    #[test]
    fn the_first_frame_which_comes_at_no_rate_does_not_count() {
        let mut rate = FrameRate::default();
        for (millis, known) in [(0, None), (1250, None), (6250, Some(0.2)), (11_250, Some(0.2))] {
            rate.record(at_millis(millis));
            assert_eq!(rate.frames_per_second(), known, "{millis}");
        }
    }

    #[test]
    fn media_time_that_begins_again_begins_the_rate_again() {
        let mut rate = FrameRate::default();
        (0..100).for_each(|n| rate.record(at_millis(n * 20)));
        rate.record(at_millis(0));
        assert_eq!(rate.frames_per_second(), None);
        rate.record(at_millis(500));
        rate.record(at_millis(1000));
        assert_eq!(rate.frames_per_second(), Some(2.0));
    }

    #[test]
    fn a_flood_does_not_fill_memory() {
        let mut rate = FrameRate::default();
        (0..100_000).for_each(|n| rate.record(Timestamp::from_ticks(n)));
        assert_eq!(rate.frames.len(), MAX_SAMPLES);
        assert!((rate.frames_per_second().unwrap() - 90_000.0).abs() < 1.0);
    }
}
