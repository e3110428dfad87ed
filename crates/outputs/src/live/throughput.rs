//! Measures how fast a connection transfers pictures to the screen, from the client's acknowledgements.
//!
//! When a picture is sent, a mark records how many bytes had been acknowledged by then. The acknowledgement of the
//! picture then shows how many bytes arrived in between. The caller passes the times; the scheduler uses the result.

use std::time::Duration;

use tokio::time::Instant;

/// The minimum time of a measurement. In a shorter time, the coarseness of the clock matters more than the speed of the
/// link.
const MIN_SAMPLE_TIME: Duration = Duration::from_millis(1);

/// An estimate of the bytes per second from the server to the screen.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    bytes_per_second: Option<f64>,
    /// The number of bytes acknowledged so far.
    delivered_bytes: u64,
    /// When the last acknowledgement arrived.
    delivered_at: Option<Instant>,
}

/// The state of the measurement when a picture was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendMark {
    delivered_bytes: u64,
    at: Instant,
    /// Whether enough bytes were in flight to measure the speed of the link, and not only how much the cameras
    /// delivered.
    is_full: bool,
}

impl Throughput {
    /// Returns the estimated number of bytes per second; `None` before the first acknowledgement.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second.map(|rate| rate as u64)
    }

    /// Creates the mark for a picture that is sent at `now`. `is_alone` says that no other picture is in flight.
    /// `is_full` says that enough bytes are in flight to measure the speed of the link.
    pub(super) fn mark(&self, now: Instant, is_alone: bool, is_full: bool) -> SendMark {
        // On an idle connection the measurement starts with this picture.
        let at = if is_alone { now } else { self.delivered_at.unwrap_or(now) };
        SendMark { delivered_bytes: self.delivered_bytes, at, is_full }
    }

    /// Records that the client acknowledged `bytes` more bytes at `now`. `mark` was created when the newest picture
    /// among these bytes was sent.
    pub(super) fn delivered(&mut self, bytes: u64, mark: SendMark, now: Instant) {
        self.delivered_bytes = self.delivered_bytes.saturating_add(bytes);
        self.delivered_at = Some(now);
        let took = now.saturating_duration_since(mark.at).max(MIN_SAMPLE_TIME);
        let sample = (self.delivered_bytes - mark.delivered_bytes) as f64 / took.as_secs_f64();
        let change = |rate: f64, weight: f64| rate + (sample - rate) * weight;
        self.bytes_per_second = Some(match self.bytes_per_second {
            None => sample,
            // The estimate rises fast. It falls only while the link was busy: a camera that gives little does not mean
            // a slow link.
            Some(rate) if sample > rate => change(rate, 0.5),
            Some(rate) if mark.is_full => change(rate, 0.125),
            Some(rate) => rate,
        });
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    const BYTES: u64 = 10_000;

    /// Sends and acknowledges `pictures` pictures one after the other; each takes `took`.
    fn play(throughput: &mut Throughput, now: &mut Instant, pictures: u32, took: Duration, is_full: bool) {
        for _ in 0..pictures {
            let mark = throughput.mark(*now, true, is_full);
            *now += took;
            throughput.delivered(BYTES, mark, *now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_what_was_acknowledged_since_a_picture_was_sent() {
        let (mut throughput, now) = (Throughput::default(), Instant::now());
        assert_eq!(throughput.bytes_per_second(), None);
        let first = throughput.mark(now, true, true);
        let second = throughput.mark(now, false, true);
        throughput.delivered(BYTES, first, now + Duration::from_millis(100));
        assert_eq!(throughput.bytes_per_second(), Some(100_000));
        throughput.delivered(BYTES, second, now + Duration::from_millis(200));
        assert_eq!(throughput.bytes_per_second(), Some(100_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_link_that_slows_down_is_followed_and_an_idle_one_is_not_mistaken_for_slow() {
        let (mut throughput, mut now) = (Throughput::default(), Instant::now());
        play(&mut throughput, &mut now, 10, Duration::from_millis(10), true);
        let fast = throughput.bytes_per_second().unwrap();
        assert_eq!(fast, 1_000_000);
        play(&mut throughput, &mut now, 10, Duration::from_millis(100), false);
        assert_eq!(throughput.bytes_per_second(), Some(fast));
        play(&mut throughput, &mut now, 40, Duration::from_millis(100), true);
        assert!(throughput.bytes_per_second().unwrap().abs_diff(100_000) < 10_000);
        play(&mut throughput, &mut now, 10, Duration::from_millis(10), false);
        assert!(throughput.bytes_per_second().unwrap() > 990_000);
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgements_of_one_moment_are_no_infinite_rate() {
        let (mut throughput, now) = (Throughput::default(), Instant::now());
        throughput.delivered(BYTES, throughput.mark(now, true, true), now);
        assert_eq!(throughput.bytes_per_second(), Some(BYTES * 1000));
    }
}
