//! The delay before the next attempt to open a lost camera.

use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// How long a camera must be live before its next failure is treated like a first failure, with the shortest retry
/// delay.
const RESET_AFTER: Duration = Duration::from_secs(10);

/// Retry delays that double from one second to thirty seconds. A random jitter keeps many cameras behind one switch
/// from retrying at the same instant.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Records that the camera was live for `live_for`. If that was at least [`RESET_AFTER`], the next delay is the
    /// shortest one again.
    pub(crate) fn succeeded_for(&mut self, live_for: Duration) {
        if live_for >= RESET_AFTER {
            self.failures = 0;
        }
    }

    /// Returns the longest delay, for a failure that only a change of the configuration can fix.
    pub(crate) fn max_delay() -> Duration {
        MAX_DELAY
    }

    /// Returns the delay after one more failure. `random` is from 0 to 1 and shortens the delay by up to a quarter.
    pub(crate) fn next_delay(&mut self, random: f64) -> Duration {
        let full = FIRST_DELAY.saturating_mul(1 << self.failures.min(10)).min(MAX_DELAY);
        self.failures += 1;
        full.mul_f64(1.0 - random.clamp(0.0, 1.0) / 4.0).max(FIRST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_one_second_to_thirty() {
        let mut backoff = Backoff::default();
        let delays: Vec<u64> = (0..7).map(|_| backoff.next_delay(0.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_camera_that_was_live_for_a_while_begins_anew() {
        let mut backoff = Backoff::default();
        backoff.next_delay(0.0);
        backoff.next_delay(0.0);
        backoff.succeeded_for(Duration::from_secs(9));
        assert_eq!(backoff.next_delay(0.0).as_secs(), 4);
        backoff.succeeded_for(Duration::from_secs(10));
        assert_eq!(backoff.next_delay(0.0).as_secs(), 1);
    }

    #[test]
    fn jitter_takes_off_a_quarter_at_most_and_never_goes_below_a_second() {
        let mut backoff = Backoff::default();
        for expected in [1.0, 1.5, 3.0, 6.0] {
            assert_eq!(backoff.next_delay(1.0).as_secs_f64(), expected);
        }
    }
}
