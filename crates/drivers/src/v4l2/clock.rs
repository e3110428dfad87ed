//! Interprets the capture time and the sequence number that a kernel driver reports, and ignores implausible values.

use std::time::Duration;

use crate::{CaptureTime, ClockReading};

/// The maximum plausible age of a captured frame. Frames stay in their buffer for a fraction of a second. A time that
/// makes a frame older was therefore not taken from the monotonic clock.
const MAX_AGE: Duration = Duration::from_secs(5);

/// Returns the capture time of a frame that arrived at `now`. `captured` is the driver's time of the capture by the
/// monotonic clock. If it is missing or implausible, the capture time is that of the arrival.
pub(super) fn capture_time(captured: Option<Duration>, now: ClockReading) -> CaptureTime {
    let is_plausible =
        |captured: &Duration| now.monotonic.checked_sub(*captured).is_some_and(|age| age <= MAX_AGE);
    CaptureTime::Monotonic(captured.filter(is_plausible).unwrap_or(now.monotonic))
}

/// Counts the frames that the device lost, from the gaps in its sequence numbers.
#[derive(Debug, Default)]
pub(super) struct SequenceGaps {
    last: Option<u32>,
    pub(super) dropped: u64,
}

impl SequenceGaps {
    /// Records the sequence number of a frame. Adds the number of skipped sequence numbers to the number of lost
    /// frames. Repeated or decreasing sequence numbers, which some drivers report, add nothing.
    pub(super) fn observe(&mut self, sequence: u32) {
        if let Some(last) = self.last.replace(sequence) {
            let step = sequence.wrapping_sub(last);
            if (2..u32::MAX / 2).contains(&step) {
                self.dropped += u64::from(step - 1);
            }
        }
    }

    /// Forgets the last sequence number, because the device starts to number its frames anew.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_drivers_time_counts_unless_it_was_not_taken_from_the_monotonic_clock() {
        let now = ClockReading { monotonic: Duration::from_secs(60), wall: SystemTime::now() };
        let at = |ms: u64| capture_time(Some(Duration::from_millis(ms)), now);
        assert_eq!(at(59_950), CaptureTime::Monotonic(Duration::from_millis(59_950)));
        assert_eq!(at(60_000), CaptureTime::Monotonic(now.monotonic));
        assert_eq!(at(60_001), CaptureTime::Monotonic(now.monotonic), "from the future");
        assert_eq!(at(54_000), CaptureTime::Monotonic(now.monotonic), "too old");
        assert_eq!(capture_time(None, now), CaptureTime::Monotonic(now.monotonic));
    }

    #[test]
    fn gaps_in_the_numbers_are_lost_frames() {
        let mut gaps = SequenceGaps::default();
        for sequence in [7, 8, 11, 12] {
            gaps.observe(sequence);
        }
        assert_eq!(gaps.dropped, 2);
        for sequence in [12, 3, 4, u32::MAX, 1] {
            gaps.observe(sequence);
        }
        assert_eq!(gaps.dropped, 2 + 1, "the count of 32 bits begins again, past one lost frame");
        gaps.restart();
        gaps.observe(100);
        assert_eq!(gaps.dropped, 3);
    }
}
