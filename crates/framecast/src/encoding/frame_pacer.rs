//! Limits a rendition's frame rate without delaying its pictures.
//!
//! [`FramePacer`] decides which frames are encoded, and when, from the times at which the frames arrive. A frame that
//! arrives a little early is encoded at once, and the next frames must wait longer to compensate. So if a camera
//! delivers exactly the wanted rate, each frame is encoded when it arrives. A frame that arrives too early is replaced
//! by the next frame. If no other frame arrives, the early frame is encoded later.

use std::time::Duration;

use tokio::time::Instant;

/// The maximum time that an early frame waits for a newer frame to replace it, counted from the time at which the next
/// frame is due.
const MAX_HOLD: Duration = Duration::from_millis(250);

/// A pacer that allows one frame per interval on average. After a late frame, the next frame can follow at once.
#[derive(Debug)]
pub(super) struct FramePacer {
    interval: Duration,
    ready_at: Option<Instant>,
}

impl FramePacer {
    /// Creates a pacer that allows one frame per `interval`. An interval of zero allows all frames.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, ready_at: None }
    }

    /// Returns the time from which the next frame is encoded as soon as it arrives; `None` before the first frame.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.ready_at
    }

    /// Returns until when a frame that arrived before [`ready_at`](Self::ready_at) waits for a newer frame; `None`
    /// before the first frame.
    pub(super) fn hold_until(&self) -> Option<Instant> {
        self.ready_at.map(|ready_at| ready_at + self.interval.min(MAX_HOLD))
    }

    /// Records that a frame is encoded at `now`.
    pub(super) fn record(&mut self, now: Instant) {
        let next = self.ready_at.map_or(now, |ready_at| ready_at + self.interval);
        // Unused intervals do not add up to a burst.
        self.ready_at = Some(next.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Which of the frames that arrive at `arrivals` (ms) the encoder takes at `fps`, and when: each as (arrived,
    /// taken).
    fn taken(fps: u32, arrivals: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
        let mut pacer = FramePacer::new(Duration::from_secs(1) / fps);
        let start = Instant::now();
        let mut arrivals = arrivals.into_iter().peekable();
        let mut held = None;
        let mut taken = Vec::new();
        for millis in 0..3000 {
            let now = start + MILLISECOND * millis;
            let has_come = arrivals.next_if_eq(&millis).is_some();
            if has_come {
                held = Some(millis);
            }
            let Some(came) = held else { continue };
            let is_free = has_come && pacer.ready_at().is_none_or(|ready_at| ready_at <= now);
            if is_free || pacer.hold_until().is_some_and(|until| until <= now) {
                pacer.record(now);
                taken.push((came, millis));
                held = None;
            }
        }
        taken
    }

    fn every(step: u32) -> impl Iterator<Item = u32> {
        (0..3000).step_by(step as usize)
    }

    #[test]
    fn a_camera_as_fast_as_the_pace_is_never_held_back_for_long() {
        let steady = taken(10, every(100));
        assert_eq!(steady.len(), 30);
        assert!(steady.iter().all(|(came, at)| came == at), "{steady:?}");
        // The first frame is late, then some in the middle.
        for late in [1, 30, 60, 99] {
            let arrivals =
                every(100).map(|at| if at == 0 || (1000..1300).contains(&at) { at + late } else { at });
            let taken = taken(10, arrivals);
            assert!(taken.len() >= 27, "{late}: {taken:?}");
            assert!(taken.iter().all(|(came, at)| came == at), "{late}: {taken:?}");
        }
    }

    #[test]
    fn of_a_faster_camera_fresh_frames_are_taken_at_the_pace() {
        for step in [7, 16, 33, 40, 99] {
            let taken = taken(10, every(step));
            assert!((29..=31).contains(&taken.len()), "{step}: {taken:?}");
            assert!(taken.iter().all(|(came, at)| came == at), "{step}: {taken:?}");
        }
    }

    #[test]
    fn a_burst_shows_its_last_frame_soon() {
        let taken = taken(10, [0, 10, 20, 30, 40, 2000, 2010, 2020]);
        assert_eq!(taken, [(0, 0), (10, 10), (40, 200), (2000, 2000), (2010, 2010), (2020, 2200)]);
    }

    #[test]
    fn a_slow_pace_does_not_hold_the_last_frame_for_its_whole_interval() {
        assert_eq!(taken(1, [0, 100, 200]), [(0, 0), (100, 100), (200, 1250)]);
    }
}
