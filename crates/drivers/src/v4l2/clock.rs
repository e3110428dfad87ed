//! The capture time and the sequence number that a driver reports, and which of them to believe.

use std::time::{Duration, SystemTime};

/// A frame waits in its buffer for a fraction of a second; an older time is not from the monotonic clock.
const MAX_AGE: Duration = Duration::from_secs(5);

/// The wall-clock time of a capture at `captured` on the monotonic clock, which reads `monotonic_now` now; `now` itself
/// if the driver's time is implausible.
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

/// The monotonic clock, with which drivers timestamp frames.
pub(super) fn monotonic_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Counts frames that the device lost, by the gaps in its sequence numbers.
#[derive(Debug, Default)]
pub(super) struct SequenceGaps {
    last: Option<u32>,
    pub(super) dropped: u64,
}

impl SequenceGaps {
    /// Records the number of a frame. Numbers that stand still or run backwards, as with some drivers, are ignored.
    pub(super) fn observe(&mut self, sequence: u32) {
        if let Some(last) = self.last.replace(sequence) {
            let step = sequence.wrapping_sub(last);
            if (2..u32::MAX / 2).contains(&step) {
                self.dropped += u64::from(step - 1);
            }
        }
    }

    /// The device restarts its numbers.
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
