//! A limit on the number of frames per second that the server accepts from a camera's source.

use std::time::{Duration, Instant};

use framecast_media::Frame;

/// The maximum number of frames that can pass at once after a pause. Cameras deliver unevenly, but a flood of frames
/// must not pass.
const BURST: f64 = 3.0;

/// A rate limit: on average, lets at most a given number of frames per second pass.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: f64,
    credit: f64,
    refilled_at: Instant,
}

impl Throttle {
    pub(crate) fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, credit: BURST, refilled_at: now }
    }

    /// Returns this limit without the burst of frames that a limit allows at its start. For a reopened source:
    /// otherwise, each opening would allow a burst.
    pub(crate) fn without_burst(self) -> Self {
        Self { credit: 1.0, ..self }
    }

    /// Returns whether the limit allows a frame that arrives at `now`. A frame that the limit allows counts as passed.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        let elapsed: Duration = now.saturating_duration_since(self.refilled_at);
        self.refilled_at = now;
        self.credit = (self.credit + elapsed.as_secs_f64() * self.per_second).min(BURST);
        if self.credit < 1.0 {
            return false;
        }
        self.credit -= 1.0;
        true
    }

    /// Returns whether `frame`, which arrives at `now`, passes: if the limit allows it, or if other frames need it. A
    /// frame that passes beyond the limit counts too, so that fewer of the others pass, but not for longer than a
    /// burst.
    pub(crate) fn lets_pass(&mut self, frame: &Frame, now: Instant) -> bool {
        if self.admits(now) {
            return true;
        }
        if !frame.is_disposable {
            self.credit = (self.credit - 1.0).max(-BURST);
        }
        !frame.is_disposable
    }

    /// Returns the time from which the limit allows the next frame, computed from the last call of
    /// [`admits`](Self::admits) or [`lets_pass`](Self::lets_pass).
    pub(crate) fn ready_at(&self) -> Instant {
        let missing = (1.0 - self.credit).max(0.0);
        self.refilled_at + Duration::from_secs_f64(missing / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use framecast_media::Dependency;
    use framecast_testkit::CodedStream;

    use super::*;

    fn admitted(frames_per_second: u32, limit: f64) -> usize {
        let start = Instant::now();
        let mut throttle = Throttle::new(limit, start);
        let interval = Duration::from_secs(1) / frames_per_second;
        (0..frames_per_second * 10).filter(|n| throttle.admits(start + interval * *n)).count()
    }

    #[test]
    fn a_flood_is_held_to_the_limit() {
        let passed = admitted(10_000, 120.0);
        assert!((1195..=1205).contains(&passed), "{passed} in ten seconds");
    }

    #[test]
    fn a_source_that_is_opened_again_has_no_burst() {
        let now = Instant::now();
        let mut throttle = Throttle::new(10.0, now).without_burst();
        assert!(throttle.admits(now) && !throttle.admits(now));
    }

    #[test]
    fn frames_that_pass_in_any_case_leave_less_for_the_others() {
        let passed = |references_per_second: usize| {
            let start = Instant::now();
            let (mut throttle, mut stream) = (Throttle::new(5.0, start), CodedStream::default());
            let every = 30 / references_per_second;
            let passes = |n: &usize| {
                let is_needed = n.is_multiple_of(every);
                let dependency = if is_needed { Dependency::Reference } else { Dependency::Disposable };
                let frame = stream.next(dependency, 100);
                let passes = throttle.lets_pass(&frame, start + Duration::from_secs(*n as u64) / 30);
                assert!(passes || !is_needed);
                passes
            };
            (0..300).filter(passes).count()
        };
        let total = passed(3);
        assert!((47..=55).contains(&total), "{total} in ten seconds; the limit is 50 and a burst");
        let total = passed(10);
        assert!((100..=105).contains(&total), "{total} in ten seconds, of which 100 are needed");
    }

    #[test]
    fn a_frame_passes_at_the_time_that_was_told() {
        let now = Instant::now();
        let mut throttle = Throttle::new(10.0, now);
        while throttle.admits(now) {}
        assert_eq!(throttle.ready_at(), now + Duration::from_millis(100));
        // The addition may round off the clock's last nanosecond.
        assert!(throttle.admits(throttle.ready_at() + Duration::from_nanos(1)));
    }

    #[test]
    fn a_camera_at_the_limit_loses_nothing() {
        assert_eq!(admitted(120, 120.0), 1200);
        assert_eq!(admitted(30, 120.0), 300);
    }
}
