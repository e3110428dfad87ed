//! A rate limit on events of any kind: at most a fixed number in a sliding window of one second.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A limit of `N` events within any second. Stores the times of the last `N` events.
#[derive(Debug)]
pub(crate) struct SlidingWindow<const N: usize> {
    times: [Option<Instant>; N],
    /// The index of the oldest of the stored times, which the next event overwrites.
    oldest: usize,
}

impl<const N: usize> Default for SlidingWindow<N> {
    fn default() -> Self {
        Self { times: [None; N], oldest: 0 }
    }
}

impl<const N: usize> SlidingWindow<N> {
    /// Returns how long to wait, from `now`, until one more event does not exceed the limit of `N` events within a
    /// second; `None` if no wait is needed.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let free_at = self.times[self.oldest]? + SECOND;
        Some(free_at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Records an event at the time `now`, even if the event exceeds the limit.
    pub(crate) fn add(&mut self, now: Instant) {
        self.times[self.oldest] = Some(now);
        self.oldest = (self.oldest + 1) % N;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_so_many_wherever_it_begins() {
        let (mut window, start) = (SlidingWindow::<5>::default(), Instant::now());
        let mut passed = Vec::new();
        for millis in (0..10_000).step_by(7) {
            let now = start + Duration::from_millis(millis);
            match window.wait(now) {
                None => {
                    window.add(now);
                    passed.push(now);
                }
                Some(wait) => assert!(wait <= SECOND),
            }
        }
        assert!(passed.windows(6).all(|six| six[5] - six[0] >= SECOND));
        assert_eq!(passed.len(), 50);
    }

    #[test]
    fn the_wait_ends_a_second_after_the_oldest() {
        let (mut window, start) = (SlidingWindow::<2>::default(), Instant::now());
        window.add(start);
        window.add(start + Duration::from_millis(300));
        assert_eq!(window.wait(start + Duration::from_millis(400)), Some(Duration::from_millis(600)));
        assert_eq!(window.wait(start + SECOND), None);
    }
}
