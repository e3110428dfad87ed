//! The relation of a source's media time to the wall clock.

use std::time::{Duration, SystemTime};

use crate::{Frame, Timestamp};

/// The wall-clock time of a source's media time zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor(SystemTime);

impl Anchor {
    /// Creates the anchor of a source whose media time was zero at `zero_at`.
    pub const fn new(zero_at: SystemTime) -> Self {
        Self(zero_at)
    }

    /// Returns the anchor by which the media time of `frame` is its wall-clock time. The time of an original capture in
    /// `captured_at` does not matter: it says nothing about the source's media time.
    pub fn of(frame: &Frame) -> Self {
        Self(shifted(frame.wall_time, frame.pts.ticks().saturating_neg()))
    }

    /// Returns the wall-clock time of `timestamp`.
    pub fn time_of(self, timestamp: Timestamp) -> SystemTime {
        shifted(self.0, timestamp.ticks())
    }

    /// Returns the media time at the wall-clock time `time`; zero for times before media time zero.
    pub fn timestamp_at(self, time: SystemTime) -> Timestamp {
        Timestamp::from_duration(time.duration_since(self.0).unwrap_or_default())
    }

    /// Returns how far apart `self` and `other` are.
    pub fn distance(self, other: Self) -> Duration {
        self.0.duration_since(other.0).unwrap_or_else(|earlier| earlier.duration())
    }
}

/// Returns `time` moved by `ticks` of 90 kHz; `time` itself if the result is out of the clock's range.
fn shifted(time: SystemTime, ticks: i64) -> SystemTime {
    let by = Timestamp::from_ticks(ticks.saturating_abs()).saturating_since(Timestamp::default());
    let moved = if ticks < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    moved.unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_relates_media_time_to_the_wall_clock_both_ways() {
        let zero_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let anchor = Anchor::new(zero_at);
        let second = Timestamp::from_ticks(90_000);
        assert_eq!(anchor.time_of(second), zero_at + Duration::from_secs(1));
        assert_eq!(anchor.time_of(Timestamp::from_ticks(-90_000)), zero_at - Duration::from_secs(1));
        assert_eq!(anchor.timestamp_at(zero_at + Duration::from_secs(1)), second);
        assert_eq!(anchor.timestamp_at(SystemTime::UNIX_EPOCH), Timestamp::default());
        assert_eq!(anchor.distance(Anchor::new(zero_at - Duration::from_secs(3))), Duration::from_secs(3));
    }
}
