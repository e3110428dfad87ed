//! The delays between attempts at what has failed. Every part of the server that waits longer after each failure takes
//! its delays from here.

use std::time::Duration;

/// Delays that double from the first to the longest. The caller waits, and brings the random number for the jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Creates delays from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Makes the next delay the first one again, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the longest delay, for a failure that another attempt alone cannot mend.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Returns the delay after one more failure. `random` is from 0 to 1 and shortens the delay by up to a quarter, but
    /// never below the first delay. So many clients of one server do not all retry at the same moment.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        let full = self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        full.min(self.longest).mul_f64(1.0 - random.clamp(0.0, 1.0) / 4.0).max(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_from_the_first_to_the_longest() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        let delays: Vec<u64> = (0..7).map(|_| backoff.next_delay(0.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
        // Far beyond the bits of the count.
        assert!((0..100).all(|_| backoff.next_delay(0.0) == backoff.longest()));
    }

    #[test]
    fn after_a_success_the_next_delay_is_the_first() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        backoff.next_delay(0.0);
        backoff.next_delay(0.0);
        assert_eq!(backoff.next_delay(0.0), 4 * SECOND);
        backoff.reset();
        assert_eq!(backoff.next_delay(0.0), SECOND);
    }

    #[test]
    fn jitter_takes_off_a_quarter_at_most_and_never_goes_below_the_first_delay() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        for expected in [1.0, 1.5, 3.0, 6.0] {
            assert_eq!(backoff.next_delay(1.0).as_secs_f64(), expected);
        }
    }
}
