//! Figures of coded video: the time between two keyframes, and the bit rate.

use std::time::Duration;

use framecast_media::{Frame, Timestamp};

/// Figures of the last complete group of pictures of coded video: a keyframe, and the frames up to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GopFigures {
    /// The time from the keyframe to the next one.
    pub duration: Duration,
    /// The number of frames.
    pub frames: u64,
    /// The size of the frames, in bytes.
    pub bytes: u64,
}

impl GopFigures {
    /// Returns the bit rate, in bits a second.
    pub fn bits_per_second(&self) -> u64 {
        let bits = self.bytes.saturating_mul(8) as f64;
        (bits / self.duration.as_secs_f64()) as u64
    }
}

/// What is measured of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GopSample {
    is_keyframe: bool,
    dts: Timestamp,
    bytes: usize,
}

impl GopSample {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self { is_keyframe: frame.is_keyframe, dts: frame.dts, bytes: frame.data.len() }
    }
}

/// Measures groups of pictures.
#[derive(Debug, Default)]
pub(crate) struct GopMeter {
    last: Option<GopFigures>,
    /// When the group that is not complete yet began, and its figures so far; `None` before the first keyframe.
    current: Option<(Timestamp, GopFigures)>,
}

impl GopMeter {
    /// Counts the next frame in the order of decoding.
    pub(crate) fn record(&mut self, frame: GopSample) {
        if frame.is_keyframe {
            let begun = self.current.take();
            self.last = begun
                .map(|(begun_at, figures)| GopFigures {
                    duration: frame.dts.saturating_since(begun_at),
                    ..figures
                })
                .filter(|figures| !figures.duration.is_zero());
            self.current = Some((frame.dts, GopFigures { duration: Duration::ZERO, frames: 0, bytes: 0 }));
        }
        if let Some((_, figures)) = &mut self.current {
            figures.frames += 1;
            figures.bytes += frame.bytes as u64;
        }
    }

    /// Forgets all frames so far: the next ones belong to another opening of the camera.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns the figures of the last complete group; `None` before there is one.
    pub(crate) fn last(&self) -> Option<GopFigures> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use framecast_testkit::keyframe;

    use super::*;

    #[test]
    fn the_figures_are_those_of_the_last_complete_group() {
        let mut meter = GopMeter::default();
        for number in 0..10 {
            meter.record(GopSample::of(&keyframe(number, 10, 2000)));
            assert_eq!(meter.last(), None);
        }
        let next = keyframe(10, 10, 5000);
        meter.record(GopSample::of(&next));
        let duration = next.dts.saturating_since(keyframe(0, 10, 2000).dts);
        let expected = GopFigures { duration, frames: 10, bytes: 20_000 };
        assert_eq!(meter.last(), Some(expected));
        assert_eq!(expected.bits_per_second(), (160_000.0 / duration.as_secs_f64()) as u64);
        meter.record(GopSample::of(&keyframe(11, 10, 2000)));
        assert_eq!(meter.last(), Some(expected));
        meter.reset();
        assert_eq!(meter.last(), None);
    }
}
