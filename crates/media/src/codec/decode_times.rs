//! Decoding times for coded video whose source only says when each frame is shown, as RTP does.
//!
//! With a reorder depth of N, a decoder has to have N more frames than it has shown. So the frame at place I is decoded
//! when the frame at place I - N is shown. No clock: the frames' own times decide.
//!
//! Each step of the depth costs viewers a frame interval. Where the parameter sets do not state the depth, it is the
//! least that the frames so far need. A frame that shows that more is needed is too late to be shown at its time.

use crate::Timestamp;
use crate::codec::VideoParameters;

/// The frame interval of 25 frames a second, for video that does not say its own.
const USUAL_INTERVAL_TICKS: i64 = 3600;

/// The range of frame intervals that are believed: a second at most.
const INTERVAL_TICKS: std::ops::RangeInclusive<i64> = 1..=Timestamp::TICKS_PER_SECOND;

/// When a frame is shown and when it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTimes {
    /// The presentation time. It is the given one, except for a frame that is late or repeats a time.
    pub pts: Timestamp,
    /// The decoding time: at most `pts`, and later than that of the frame before.
    pub dts: Timestamp,
}

/// Gives the frames of one epoch their decoding times. Make a new one when the media time jumps.
#[derive(Debug, Clone)]
pub struct DecodeTimes {
    reorder_depth: usize,
    /// The greatest depth that the parameter sets allow.
    max_reorder_depth: usize,
    interval_ticks: i64,
    /// The latest presentation times so far in ascending order, at most one more than the reorder depth.
    latest: Vec<i64>,
    last_dts: Option<i64>,
}

impl DecodeTimes {
    /// Starts before the first frame of video with these parameters. Their frame rate counts only for the first frames,
    /// which are decoded before any frame is shown.
    pub fn new(parameters: &VideoParameters) -> Self {
        let mut new = Self {
            reorder_depth: 0,
            max_reorder_depth: 0,
            interval_ticks: USUAL_INTERVAL_TICKS,
            latest: Vec::new(),
            last_dts: None,
        };
        new.set_parameters(parameters);
        new
    }

    /// Goes on with other parameters from the next frame on. Decoding times go on too.
    pub fn set_parameters(&mut self, parameters: &VideoParameters) {
        self.interval_ticks = parameters.frames_per_second.map_or(USUAL_INTERVAL_TICKS, |rate| {
            let ticks = (Timestamp::TICKS_PER_SECOND as f64 / rate) as i64;
            ticks.clamp(*INTERVAL_TICKS.start(), *INTERVAL_TICKS.end())
        });
        self.max_reorder_depth = parameters.reorder_depth;
        let is_stated = parameters.is_reorder_depth_stated;
        let found = if is_stated { self.max_reorder_depth } else { self.reorder_depth };
        self.reorder_depth = found.min(self.max_reorder_depth);
        let extra = self.latest.len().saturating_sub(self.reorder_depth + 1);
        self.latest.drain(..extra);
    }

    /// Returns the times of the next frame in decoding order, which says that it is shown at `pts`.
    ///
    /// A frame that repeats a time is shown one tick later. So is a frame that is too late to be shown at its time: it
    /// is shown one tick after the last decoding time.
    pub fn next_frame(&mut self, pts: Timestamp) -> FrameTimes {
        let given = pts.ticks();
        let earliest = self.last_dts.map_or(i64::MIN, |last| last.saturating_add(1));
        let is_late = given < earliest;
        let mut pts = given.max(earliest);
        while self.latest.contains(&pts) {
            pts = pts.saturating_add(1);
            if pts == i64::MAX {
                break;
            }
        }
        // All of these frames, one more than the depth, come before this one and are shown after it.
        let needs_more = self.latest.len() > self.reorder_depth && given < self.latest[0];
        if needs_more && self.reorder_depth < self.max_reorder_depth {
            self.reorder_depth += 1;
        }
        // A late frame keeps its place: it must not delay those after it.
        let time = if is_late { given } else { pts };
        let place = self.latest.partition_point(|&other| other < time);
        self.latest.insert(place, time);
        if self.latest.len() > self.reorder_depth + 1 {
            self.latest.remove(0);
        }
        // Before as many frames have come as the depth, the time is earlier by an interval for each that is missing. It
        // is earlier by a tick more, because the next frame in an open GOP may be shown so many intervals before this.
        let missing = (self.reorder_depth + 1 - self.latest.len()) as i64;
        let dts =
            if is_late { pts } else { self.latest[0].saturating_sub(missing * (self.interval_ticks + 1)) };
        let dts = dts.max(earliest).min(pts);
        self.last_dts = Some(dts);
        FrameTimes { pts: Timestamp::from_ticks(pts), dts: Timestamp::from_ticks(dts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codec;
    use crate::codec::samples::{BASELINE, MAIN_WITH_B_FRAMES, units_of};

    fn parameters(reorder_depth: usize, frames_per_second: Option<f64>) -> VideoParameters {
        let known = VideoParameters::parse(Codec::H264, &units_of(BASELINE)).unwrap();
        VideoParameters { reorder_depth, is_reorder_depth_stated: true, frames_per_second, ..known }
    }

    /// The presentation and decoding times of frames with these presentation times.
    fn times(parameters: &VideoParameters, pts: &[i64]) -> Vec<(i64, i64)> {
        let mut decode_times = DecodeTimes::new(parameters);
        let next = |&pts: &i64| {
            let times = decode_times.next_frame(Timestamp::from_ticks(pts));
            (times.pts.ticks(), times.dts.ticks())
        };
        pts.iter().map(next).collect()
    }

    #[test]
    fn frames_in_order_are_decoded_when_they_are_shown() {
        let pts = [0, 3600, 7200, 10_900, 14_400];
        assert_eq!(times(&parameters(0, Some(25.0)), &pts), pts.map(|pts| (pts, pts)));
    }

    #[test]
    fn b_frames_are_decoded_in_time() {
        // The order in which ffmpeg writes the frames of `x264-main-bframes.h264` to MP4: I P B B B P ….
        let known = VideoParameters::parse(Codec::H264, &units_of(MAIN_WITH_B_FRAMES)).unwrap();
        let shown = [0, 4, 2, 1, 3, 8, 6, 5, 7, 11, 9, 10].map(|place| 7200 + place * 3600);
        let decoded: [i64; 12] = std::array::from_fn(|place| place as i64 * 3600 - [2, 1, 0][place.min(2)]);
        assert_eq!(times(&known, &shown), shown.into_iter().zip(decoded).collect::<Vec<_>>());
    }

    #[test]
    fn a_stream_without_a_rate_starts_at_the_usual_one() {
        assert_eq!(times(&parameters(2, None), &[90_000])[0], (90_000, 90_000 - 7202));
        assert_eq!(times(&parameters(1, Some(1e-9)), &[90_000])[0], (90_000, -1));
        assert_eq!(times(&parameters(1, Some(1e9)), &[90_000])[0], (90_000, 89_998));
    }

    #[test]
    fn a_repeated_or_late_time_moves_by_one_tick() {
        assert_eq!(
            times(&parameters(0, Some(25.0)), &[100, 100, 100, 50, 3600]),
            [(100, 100), (101, 101), (102, 102), (103, 103), (3600, 3600)]
        );
        let found = times(&parameters(1, Some(25.0)), &[0, 7200, 7200, 3600, 10_800]);
        assert_eq!(found, [(0, -3601), (7200, 0), (7201, 7200), (7202, 7202), (10_800, 7203)]);
    }

    #[test]
    fn pictures_before_their_keyframe_keep_their_times() {
        // An open GOP: the first two are shown before the keyframe that comes first.
        let found = times(&parameters(2, Some(25.0)), &[7200, 0, 3600, 18_000, 10_800, 14_400]);
        let pts: Vec<_> = found.iter().map(|(pts, _)| *pts).collect();
        assert_eq!(pts, [7200, 0, 3600, 18_000, 10_800, 14_400]);
    }

    #[test]
    fn a_depth_that_is_not_stated_is_the_least_that_the_frames_need() {
        let unstated = |depth| VideoParameters { is_reorder_depth_stated: false, ..parameters(depth, None) };
        let in_order: [i64; 5] = std::array::from_fn(|place| place as i64 * 3600);
        assert_eq!(times(&unstated(4), &in_order), in_order.map(|pts| (pts, pts)));
        // One step of reordering, and two: a B-frame that others need.
        for (order, depth) in [(&[3, 1, 2][..], 1), (&[4, 2, 1, 3], 2)] {
            let pts: Vec<_> = std::iter::once(0)
                .chain(
                    (0..10)
                        .flat_map(|group| order.iter().map(move |place| group * order.len() as i64 + place)),
                )
                .map(|place| place * 3600)
                .collect();
            let found = times(&unstated(4), &pts);
            let settled = 1 + 2 * order.len();
            let lag = depth * 3600;
            for (place, (shown, decoded)) in found.iter().enumerate().skip(settled) {
                assert_eq!((*shown, *decoded), (pts[place], place as i64 * 3600 - lag), "{depth}: {place}");
            }
            assert!(
                found.windows(2).all(|pair| (1..=3600).contains(&(pair[1].1 - pair[0].1)) || pair[0].1 == 0)
            );
            assert_eq!(times(&unstated(0), &pts).iter().filter(|(pts, dts)| pts != dts).count(), 0);
        }
    }

    #[test]
    fn decoding_times_go_on_when_the_parameters_change() {
        let (one, other) = (parameters(0, Some(25.0)), parameters(2, Some(25.0)));
        let mut decode_times = DecodeTimes::new(&one);
        let mut last = -1;
        for place in 0..40 {
            if place % 4 == 0 {
                decode_times.set_parameters(if place % 8 == 0 { &one } else { &other });
            }
            let found = decode_times.next_frame(Timestamp::from_ticks(place * 3600));
            assert!(found.dts.ticks() > last && found.dts <= found.pts, "{place}");
            last = found.dts.ticks();
        }
    }

    #[test]
    fn decoding_times_always_increase_and_are_never_after_the_presentation() {
        let mut state = 7_u64;
        for depth in 0..=16 {
            let pts: Vec<_> = (0..500)
                .map(|place| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    place * 3600 + (state >> 60) as i64 * 3600 - (state >> 40 & 0xFFF) as i64
                })
                .collect();
            for is_reorder_depth_stated in [true, false] {
                let parameters = VideoParameters { is_reorder_depth_stated, ..parameters(depth, Some(25.0)) };
                let found = times(&parameters, &pts);
                assert!(found.iter().all(|(pts, dts)| dts <= pts), "{depth}");
                assert!(found.windows(2).all(|pair| pair[0].1 < pair[1].1), "{depth}");
            }
        }
    }
}
