//! A camera's frame rate, as the last intervals between its pictures. When a source is reopened, the measurement
//! continues.
//!
//! Each frame adds an interval, so the intervals are in a ring buffer of fixed size, which never allocates. The median
//! is computed only when a camera delivers no picture or its source has ended.

use std::time::Duration;

use tokio::time::Instant;

/// The number of intervals in a ring: enough that a single unusual interval does not matter.
const RING_LEN: usize = 8;

/// The last intervals between the pictures of a camera.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameIntervals {
    pictures: u64,
    /// The number of broken pictures since the last picture.
    broken: u64,
    last_at: Option<Instant>,
    /// Whether the supervisor has reopened the source since the last picture.
    was_reopened: bool,
    /// All intervals, including those in which the supervisor reopened the source.
    all: IntervalRing,
    /// The intervals during which the source stayed open. All other intervals include the server's own wait before it
    /// reopened the source.
    while_open: IntervalRing,
}

impl FrameIntervals {
    /// Records a picture that arrived at `now`.
    pub(crate) fn record(&mut self, now: Instant) {
        if let Some(last_at) = self.last_at {
            let interval = now.saturating_duration_since(last_at);
            self.all.push(interval);
            if !self.was_reopened {
                self.while_open.push(interval);
            }
        }
        self.was_reopened = false;
        self.last_at = Some(now);
        self.pictures += 1;
        self.broken = 0;
    }

    /// Records a broken picture.
    pub(crate) fn record_broken(&mut self) {
        self.broken += 1;
    }

    /// Returns the number of broken pictures since the last picture that was whole.
    pub(crate) fn broken(&self) -> u64 {
        self.broken
    }

    /// Records that the supervisor reopens the source, so that the current interval includes the server's own wait.
    pub(crate) fn mark_reopened(&mut self) {
        self.was_reopened = true;
    }

    /// Returns the number of pictures so far.
    pub(crate) fn pictures(&self) -> u64 {
        self.pictures
    }

    /// Returns when the last picture arrived; `None` before the first picture.
    pub(crate) fn last_at(&self) -> Option<Instant> {
        self.last_at
    }

    /// Returns the median time from one picture to the next; `None` before the second picture.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.all.median()
    }

    /// Returns the median time between two pictures of a source that stayed open; `None` if no opening has delivered
    /// two pictures so far.
    pub(crate) fn interval_while_open(&self) -> Option<Duration> {
        self.while_open.median()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct IntervalRing {
    intervals: [Duration; RING_LEN],
    /// The number of intervals recorded so far, including those that newer intervals have overwritten.
    count: usize,
}

impl IntervalRing {
    fn push(&mut self, interval: Duration) {
        self.intervals[self.count % RING_LEN] = interval;
        self.count += 1;
    }

    /// Returns the median of the intervals; `None` if there are none. For an even number of intervals, returns the
    /// larger of the two middle values: a camera that sends each picture twice is as slow as its longer intervals.
    fn median(&self) -> Option<Duration> {
        let len = self.count.min(RING_LEN);
        let mut sorted = self.intervals;
        let sorted = &mut sorted[..len];
        sorted.sort_unstable();
        sorted.get(len / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Intervals of these seconds.
    fn intervals(seconds: &[u32]) -> FrameIntervals {
        let (mut intervals, mut now) = (FrameIntervals::default(), Instant::now());
        intervals.record(now);
        for seconds in seconds {
            now += SECOND * *seconds;
            intervals.record(now);
        }
        intervals
    }

    #[test]
    fn one_picture_has_no_interval() {
        assert_eq!(FrameIntervals::default().interval(), None);
        assert_eq!(intervals(&[]).interval(), None);
        assert_eq!(intervals(&[]).pictures(), 1);
    }

    #[test]
    fn only_the_last_eight_intervals_count_and_an_odd_one_does_not() {
        assert_eq!(
            intervals(&[90, 90, 90, 90, 90, 10, 10, 10, 600, 10, 10, 10, 10]).interval(),
            Some(SECOND * 10)
        );
    }

    #[test]
    fn a_camera_that_sends_each_picture_twice_is_as_slow_as_its_longer_intervals() {
        assert_eq!(intervals(&[0, 10]).interval(), Some(SECOND * 10));
        assert_eq!(intervals(&[0, 10, 0, 10, 0, 10, 0, 10]).interval(), Some(SECOND * 10));
    }

    #[test]
    fn an_interval_in_which_the_source_was_opened_again_tells_nothing_of_its_pace() {
        let mut intervals = intervals(&[2, 2]);
        let last_at = intervals.last_at().unwrap();
        for round in 1..=8 {
            intervals.mark_reopened();
            intervals.record(last_at + SECOND * 7 * round);
        }
        assert_eq!(intervals.interval(), Some(SECOND * 7));
        assert_eq!(intervals.interval_while_open(), Some(SECOND * 2));
    }
}
