//! A token bucket: a rate limit that allows a burst at once, and then a constant rate.

use std::time::{Duration, Instant};

/// The size of a [`TokenBucket`], and the rate at which it fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// The number of tokens in a full bucket.
    pub(crate) burst: u32,
    /// The time until the bucket gets one more token.
    pub(crate) interval: Duration,
}

/// A token bucket, stored as the time at which the bucket will be full again.
#[derive(Debug, Default)]
pub(crate) struct TokenBucket {
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes one token, at the time `now`, from a bucket whose size and fill rate are `rate`.
    ///
    /// # Errors
    /// The bucket is empty. The error is the time until the bucket gets its next token.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.unwrap_or(now).max(now) + rate.interval;
        let most = now + rate.interval * rate.burst;
        if full_at > most {
            return Err(full_at - most);
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_then_one_each_interval() {
        let rate = Rate { burst: 60, interval: Duration::from_secs(1) };
        let (mut bucket, start) = (TokenBucket::default(), Instant::now());
        for _ in 0..60 {
            bucket.take(rate, start).unwrap();
        }
        assert_eq!(bucket.take(rate, start), Err(Duration::from_secs(1)));
        let soon = start + Duration::from_millis(250);
        assert_eq!(bucket.take(rate, soon), Err(Duration::from_millis(750)));
        for second in 1..100 {
            let now = start + Duration::from_secs(second);
            assert!(bucket.take(rate, now).is_ok() && bucket.take(rate, now).is_err(), "{second}");
        }
        let rested = start + Duration::from_secs(1000);
        assert_eq!((0..100).filter(|_| bucket.take(rate, rested).is_ok()).count(), 60);
    }
}
