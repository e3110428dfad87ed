//! So many at once, and more at a rate.

use std::time::{Duration, Instant};

/// What a [`Bucket`] holds, and how fast it fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// How many may come at once.
    pub(crate) burst: u32,
    /// After how long one more may come.
    pub(crate) interval: Duration,
}

/// How far one is ahead of its rate: the time at which its bucket is full again.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes one out.
    ///
    /// # Errors
    /// How long to wait until there is one.
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
        let (mut bucket, start) = (Bucket::default(), Instant::now());
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
