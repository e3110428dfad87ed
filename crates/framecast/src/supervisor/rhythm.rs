//! A camera's frame rate: the last intervals between its pictures, across reopened sources.
//!
//! Each frame records one interval, so this is a fixed ring buffer without allocation. The median is computed only when
//! a camera is silent or its source has ended.

use std::time::Duration;

use tokio::time::Instant;

/// How many intervals the ring has: enough that a single unusual one does not matter.
const KEPT: usize = 8;

/// The last intervals between the pictures of a camera.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rhythm {
    pictures: u64,
    last_at: Option<Instant>,
    /// Whether the source was reopened since the last picture.
    is_interrupted: bool,
    /// All intervals.
    all: Ring,
    /// Intervals during which the source stayed open. The others include our own wait before the source was reopened.
    within_opening: Ring,
}

impl Rhythm {
    /// Records a picture that came at `now`.
    pub(crate) fn note(&mut self, now: Instant) {
        if let Some(last_at) = self.last_at {
            let interval = now.saturating_duration_since(last_at);
            self.all.push(interval);
            if !self.is_interrupted {
                self.within_opening.push(interval);
            }
        }
        self.is_interrupted = false;
        self.last_at = Some(now);
        self.pictures += 1;
    }

    /// Records that the source is reopened.
    pub(crate) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// The number of pictures so far.
    pub(crate) fn pictures(&self) -> u64 {
        self.pictures
    }

    /// When the last picture came.
    pub(crate) fn last_at(&self) -> Option<Instant> {
        self.last_at
    }

    /// The usual time from one picture to the next.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.all.median()
    }

    /// The usual interval of an open source; `None` if each opening delivers only one picture.
    pub(crate) fn interval_within_opening(&self) -> Option<Duration> {
        self.within_opening.median()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Ring {
    intervals: [Duration; KEPT],
    /// How many intervals were ever pushed.
    count: usize,
}

impl Ring {
    fn push(&mut self, interval: Duration) {
        self.intervals[self.count % KEPT] = interval;
        self.count += 1;
    }

    /// Of an even number, the upper of the two middle values: a camera that sends each picture twice is as slow as its
    /// longer intervals.
    fn median(&self) -> Option<Duration> {
        let len = self.count.min(KEPT);
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
    fn rhythm(seconds: &[u32]) -> Rhythm {
        let (mut rhythm, mut now) = (Rhythm::default(), Instant::now());
        rhythm.note(now);
        for seconds in seconds {
            now += SECOND * *seconds;
            rhythm.note(now);
        }
        rhythm
    }

    #[test]
    fn one_picture_has_no_interval() {
        assert_eq!(Rhythm::default().interval(), None);
        assert_eq!(rhythm(&[]).interval(), None);
        assert_eq!(rhythm(&[]).pictures(), 1);
    }

    #[test]
    fn only_the_last_eight_intervals_count_and_an_odd_one_does_not() {
        assert_eq!(
            rhythm(&[90, 90, 90, 90, 90, 10, 10, 10, 600, 10, 10, 10, 10]).interval(),
            Some(SECOND * 10)
        );
    }

    #[test]
    fn a_camera_that_sends_each_picture_twice_is_as_slow_as_its_longer_intervals() {
        assert_eq!(rhythm(&[0, 10]).interval(), Some(SECOND * 10));
        assert_eq!(rhythm(&[0, 10, 0, 10, 0, 10, 0, 10]).interval(), Some(SECOND * 10));
    }

    #[test]
    fn an_interval_in_which_the_source_was_opened_again_tells_nothing_of_its_pace() {
        let mut rhythm = rhythm(&[2, 2]);
        let last_at = rhythm.last_at().unwrap();
        for round in 1..=8 {
            rhythm.interrupt();
            rhythm.note(last_at + SECOND * 7 * round);
        }
        assert_eq!(rhythm.interval(), Some(SECOND * 7));
        assert_eq!(rhythm.interval_within_opening(), Some(SECOND * 2));
    }
}
