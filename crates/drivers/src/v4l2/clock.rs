//! Interprets the capture time and the sequence number that a kernel driver reports, and ignores implausible values.

use std::time::{Duration, SystemTime};

/// The maximum plausible age of a captured frame. Frames stay in their buffer for a fraction of a second. A time that
/// makes a frame older was therefore not taken from the monotonic clock.
const MAX_AGE: Duration = Duration::from_secs(5);

/// Returns the wall-clock time of a capture. `captured` is the driver's time of the capture by the monotonic clock, and
/// `monotonic_now` and `now` are the current times of the two clocks. If the driver's time is missing or implausible,
/// returns `now`.
pub(super) fn wall_clock_time(
    captured: Option<Duration>,
    monotonic_now: Duration,
    now: SystemTime,
) -> SystemTime {
    captured
        .and_then(|captured| monotonic_now.checked_sub(captured))
        .filter(|age| *age <= MAX_AGE)
        .and_then(|age| now.checked_sub(age))
        .unwrap_or(now)
}

/// Returns the current time of the monotonic clock, with which drivers timestamp frames.
pub(super) fn monotonic_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
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
    use super::*;

    #[test]
    fn a_capture_is_as_old_by_the_wall_as_by_the_monotonic_clock() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at =
            |ms: u64| wall_clock_time(Some(Duration::from_millis(ms)), Duration::from_millis(60_000), now);
        assert_eq!(at(59_950), now - Duration::from_millis(50));
        assert_eq!(at(60_000), now);
        assert_eq!(at(60_001), now, "from the future");
        assert_eq!(at(54_000), now, "too old");
        assert_eq!(wall_clock_time(None, Duration::from_secs(60), now), now);
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
