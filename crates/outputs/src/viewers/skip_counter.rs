//! Computes how many frames a viewer has missed: frames that were not sent to the viewer, although the requested rate
//! had room for them.

use std::time::Duration;

use tokio::time::Instant;

/// Counts the frames that one viewer missed although the viewer's requested rate had room for them. Reads no clock: the
/// caller passes the time.
#[derive(Debug, Default)]
pub(crate) struct SkipCounter {
    /// The number of all frames that had been published but not sent to the viewer, when the last picture was sent.
    passed: u64,
    skipped: u64,
    sent_at: Option<Instant>,
}

impl SkipCounter {
    /// Records that a picture is sent at `now`, and returns the number of missed frames so far. `passed` is the number
    /// of frames that were published so far but not sent to the viewer. `interval` is the requested minimum time
    /// between two pictures, or zero for no limit.
    pub(crate) fn count(&mut self, passed: u64, interval: Duration, now: Instant) -> u64 {
        let since = self.sent_at.map(|sent_at| now.saturating_duration_since(sent_at)).unwrap_or_default();
        // Each whole interval has room for one picture, and this picture fills the first of them.
        let room = match interval.is_zero() {
            true => u64::MAX,
            false => ((since.as_nanos() / interval.as_nanos()) as u64).saturating_sub(1),
        };
        self.skipped += passed.saturating_sub(self.passed).min(room);
        self.passed = passed;
        self.sent_at = Some(now);
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_the_rate_that_was_asked_for_are_not_skipped() {
        let mut skips = SkipCounter::default();
        let (interval, begin) = (Duration::from_millis(500), Instant::now());
        // Thirty frames a second, of which one in fifteen or sixteen is shown.
        for n in 0..10_u32 {
            let jitter = Duration::from_millis(u64::from(n % 2) * 33);
            assert_eq!(skips.count(u64::from(n) * 15, interval, begin + interval * n + jitter), 0);
        }
        let late = begin + interval * 13;
        assert_eq!(skips.count(200, interval, late), 2, "there was room for two more");
        assert_eq!(skips.count(201, interval, late + interval * 9), 3, "but no more than one came");
    }

    #[test]
    fn without_a_rate_every_frame_that_is_passed_is_skipped() {
        let (mut skips, now) = (SkipCounter::default(), Instant::now());
        assert_eq!(skips.count(0, Duration::ZERO, now), 0);
        assert_eq!(skips.count(7, Duration::ZERO, now), 7);
        assert_eq!(skips.count(9, Duration::ZERO, now), 9);
    }
}
