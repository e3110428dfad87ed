//! Media time: the timestamps of frames.

use std::time::Duration;

/// A point in a source's media time, in 90 kHz ticks. Where zero is depends on the source; an [`Anchor`](crate::Anchor)
/// relates media time to the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The number of ticks per second, the clock rate that RTP and MPEG use for video.
    pub const TICKS_PER_SECOND: i64 = 90_000;

    /// Creates the timestamp at `ticks` ticks of 90 kHz after media time zero.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Creates the timestamp at `elapsed` after media time zero. The value saturates after three million years.
    pub fn from_duration(elapsed: Duration) -> Self {
        let ticks = elapsed.as_nanos() * Self::TICKS_PER_SECOND as u128 / 1_000_000_000;
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    /// Returns the number of 90 kHz ticks since media time zero.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Returns this timestamp moved by `other`. The value saturates.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later than `self`.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0).max(0) as u64;
        Duration::from_secs(ticks / 90_000) + Duration::from_nanos(ticks % 90_000 * 1_000_000_000 / 90_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_ninety_thousand_ticks() {
        assert_eq!(Timestamp::from_duration(Duration::from_secs(1)).ticks(), 90_000);
        assert_eq!(Timestamp::from_duration(Duration::from_millis(1500)).ticks(), 135_000);
    }

    #[test]
    fn the_difference_never_runs_backwards() {
        let (early, late) = (Timestamp::from_ticks(45_000), Timestamp::from_ticks(90_000));
        assert_eq!(late.saturating_since(early), Duration::from_millis(500));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
    }
}
