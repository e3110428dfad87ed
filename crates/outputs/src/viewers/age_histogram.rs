//! A histogram of the ages of pictures, or of other times that matter to viewers. Adding an age takes no lock, because
//! each viewer adds one for each picture.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in seconds, and the last bucket for all other ages: from the delay of the network
/// alone to an age that nobody would call live.
const BOUNDS_S: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, f64::INFINITY];

/// How many pictures had which age, since the start of the server.
#[derive(Debug, Default)]
pub struct AgeHistogram {
    counts: [AtomicU64; BOUNDS_S.len()],
    sum_us: AtomicU64,
}

impl AgeHistogram {
    pub(super) fn observe(&self, age: Duration) {
        let bucket = BOUNDS_S.partition_point(|bound| *bound < age.as_secs_f64());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(age_us, Ordering::Relaxed);
    }

    /// Returns each bucket: its upper bound in seconds, and the number of ages in it that are above the bound before.
    /// The last bound is infinite.
    pub fn buckets(&self) -> [(f64, u64); BOUNDS_S.len()] {
        std::array::from_fn(|bucket| (BOUNDS_S[bucket], self.counts[bucket].load(Ordering::Relaxed)))
    }

    /// Returns the sum of all ages, in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_us.load(Ordering::Relaxed) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_counted_in_the_first_bucket_that_it_fits_into() {
        let histogram = AgeHistogram::default();
        for age_us in [0, 1_000, 1_001, 5_000_000, 5_000_001, 100_000_000] {
            histogram.observe(Duration::from_micros(age_us));
        }
        let filled: Vec<_> = histogram.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 2), (0.0025, 1), (5.0, 1), (f64::INFINITY, 2)]);
        assert!((histogram.sum_s() - 110.002_002).abs() < 1e-9);
    }
}
