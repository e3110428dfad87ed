//! The times in the fragments of one viewer's MP4: from zero on and without gaps.
//!
//! A player of go2rtc shows the video from time zero on, and stops at a gap. So the times of the camera's openings become
//! one line on which the frames follow each other, whatever was lost between them. The frames between the newest keyframe
//! and the newest frame, with which a viewer begins, have little time: the player needs them only for decoding, and must
//! not show them at their own pace.

use std::time::Duration;

use framecast_media::container::fmp4::Fragment;
use framecast_media::{Frame, Timestamp};

use crate::video_packer::duration_90k;

/// How much shorter frames of the past are shown than they lasted.
const CATCH_UP_SPEED: i64 = 32;

/// The maximum time by which a viewer can be behind when it begins. The ring of a camera holds less.
const MAX_CATCH_UP: Duration = Duration::from_secs(10);

/// The time between two frames that is assumed before it is known, in ticks.
const ASSUMED_INTERVAL_90K: i64 = Timestamp::TICKS_PER_SECOND / 25;

/// The longest time between two frames that is not a pause of the camera, in ticks.
const MAX_INTERVAL_90K: i64 = Timestamp::TICKS_PER_SECOND;

/// The times of one viewer's fragments.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    piece: Option<Piece>,
    /// The number of fragments.
    fragments: u32,
    /// The end of what the viewer has, in ticks of the viewer's time.
    end_90k: i64,
    /// The last known time between two frames of the camera, in ticks; 0 before that.
    interval_90k: i64,
}

/// A stretch of the camera's time that the viewer gets without a gap.
#[derive(Debug)]
struct Piece {
    /// Where the piece begins, in the camera's time.
    from_90k: i64,
    /// How much of the camera's time is the past, of which only the end is worth showing.
    past_90k: i64,
    /// Where the piece begins, in the viewer's time.
    at_90k: i64,
    /// The decoding time of the last frame, in the camera's time.
    last_90k: i64,
}

impl Piece {
    /// Returns the viewer's time for a time of the camera. Later times of the camera never become earlier ones.
    fn place(&self, time_90k: i64) -> i64 {
        let since = time_90k.saturating_sub(self.from_90k);
        let past = since.min(self.past_90k);
        self.at_90k.saturating_add(past / CATCH_UP_SPEED).saturating_add(since - past)
    }
}

impl Timeline {
    /// Returns the fragment of `frame`. If `is_discontinuity`, the frame does not continue what the viewer has. `behind`
    /// is how much older it is than the newest frame of the camera.
    pub(super) fn fragment(&mut self, frame: &Frame, is_discontinuity: bool, behind: Duration) -> Fragment {
        let dts = frame.dts.ticks();
        let step = self.piece.as_ref().map(|piece| dts.saturating_sub(piece.last_90k));
        // A longer step would be a hole in the player's video.
        let longest = i64::from(duration_90k(self.interval_90k));
        let step = step.filter(|step| !is_discontinuity && *step >= 0);
        match (&mut self.piece, step) {
            (Some(piece), Some(step)) if step <= longest => piece.last_90k = dts,
            (piece, _) => {
                let past =
                    behind.min(MAX_CATCH_UP).as_micros() as i64 * Timestamp::TICKS_PER_SECOND / 1_000_000;
                *piece = Some(Piece { from_90k: dts, past_90k: past, at_90k: self.end_90k, last_90k: dts });
            }
        }
        if let Some(step) = step.filter(|step| (1..=MAX_INTERVAL_90K).contains(step)) {
            self.interval_90k = step;
        }
        self.fragments = self.fragments.wrapping_add(1);
        let duration = duration_90k(self.interval_90k);
        let mut fragment = Fragment::of(frame, self.fragments, 0, duration);
        if let Some(piece) = &self.piece {
            let (decoded, shown) = (piece.place(dts), piece.place(frame.pts.ticks()));
            fragment.dts_90k = u64::try_from(decoded).unwrap_or_default();
            let offset = shown.saturating_sub(decoded).clamp(i32::MIN.into(), i32::MAX.into());
            fragment.composition_offset_90k = offset as i32;
            let interval = if self.interval_90k > 0 { self.interval_90k } else { ASSUMED_INTERVAL_90K };
            self.end_90k = self.end_90k.max(shown.max(decoded).saturating_add(interval));
        }
        fragment
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use bytes::Bytes;
    use framecast_media::{Codec, Dependency, Format};

    use super::*;

    const FRAME_90K: i64 = 3600;

    fn frame(dts_90k: i64, pts_90k: i64) -> Frame {
        let format = Arc::new(Format::new(Codec::H264, 64, 64));
        let pts = Timestamp::from_ticks(pts_90k);
        let mut frame = Frame::coded(
            Bytes::from_static(b"x"),
            Dependency::Reference,
            pts,
            SystemTime::UNIX_EPOCH,
            format,
        );
        frame.dts = Timestamp::from_ticks(dts_90k);
        frame
    }

    /// The decoding times of frames of these times, which follow each other.
    fn placed(timeline: &mut Timeline, times: impl IntoIterator<Item = i64>) -> Vec<u64> {
        let place = |time| timeline.fragment(&frame(time, time), false, Duration::ZERO).dts_90k;
        times.into_iter().map(place).collect()
    }

    #[test]
    fn a_viewer_begins_at_zero_and_has_no_gap_after_a_loss_a_pause_or_a_new_opening() {
        let mut timeline = Timeline::default();
        let begin = 1_000_000_000;
        assert_eq!(placed(&mut timeline, [begin, begin + 3600, begin + 7200]), [0, 3600, 7200]);
        let lost = frame(begin + 400_000, begin + 400_000);
        assert_eq!(timeline.fragment(&lost, true, Duration::ZERO).dts_90k, 10_800, "frames were lost");
        assert_eq!(placed(&mut timeline, [begin + 403_600, begin + 900_000]), [14_400, 18_000], "a pause");
        assert_eq!(placed(&mut timeline, [-5_000_000, -4_996_400]), [21_600, 25_200], "a new opening");
        // As long as a fragment lasts, the player waits for the next one.
        assert_eq!(placed(&mut timeline, [-4_996_400 + 22_500]), [47_700]);
    }

    #[test]
    fn the_past_is_short_and_keeps_its_order() {
        let mut timeline = Timeline::default();
        // Each third frame is shown before the two that were decoded before it.
        let shown = |n: i64| [3, 1, 2][n as usize % 3] + n / 3 * 3;
        let frames = (0..150).map(|n| frame(n * FRAME_90K, shown(n) * FRAME_90K));
        let behind = Duration::from_secs(4);
        let mut last = 0;
        let mut order: Vec<(i64, i64)> = Vec::new();
        for (n, frame) in frames.enumerate() {
            let fragment = timeline.fragment(&frame, n == 0, behind);
            let decoded = fragment.dts_90k as i64;
            assert!(decoded >= last);
            last = decoded;
            order.push((shown(n as i64), decoded + i64::from(fragment.composition_offset_90k)));
        }
        order.sort_unstable();
        assert!(order.is_sorted_by_key(|(_, time)| *time), "{order:?}");
        let at = |n: usize| order[n].1;
        assert!(at(97) < 90_000 / 4, "four seconds pass in a quarter of one: {}", at(97));
        assert_eq!(at(140) - at(139), FRAME_90K);
    }

    #[test]
    fn a_slow_camera_has_long_fragments_and_its_own_pace() {
        let mut timeline = Timeline::default();
        // The second frame comes later than a first fragment lasts.
        let times = placed(&mut timeline, (0..5).map(|n| n * 90_000));
        assert_eq!(times, [0, 3600, 93_600, 183_600, 273_600]);
    }
}
