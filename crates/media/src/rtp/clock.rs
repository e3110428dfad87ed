//! The clock of a stream: RTP timestamps, which wrap and jump, as media time.

use std::time::Duration;

use crate::Timestamp;

/// The difference between media time and arrival from which on the camera's clock has jumped.
const MAX_JUMP: i64 = 5 * Timestamp::TICKS_PER_SECOND;
/// How fast the clocks of camera and server may drift apart: one part in this many.
const DRIFT_DIVISOR: i64 = 1000;
/// How far a presentation time may be before the latest one, because frames are reordered.
const REORDER_WINDOW: i64 = Timestamp::TICKS_PER_SECOND;

/// The media time of an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The media time. It goes on across wraps and jumps.
    pub timestamp: Timestamp,
    /// Whether the camera's clock has jumped. Media time goes on as the time of arrival did.
    pub has_jumped: bool,
}

/// Gives access units their media time. It takes the timestamps in the order of decoding, in which presentation times
/// may go back a little.
#[derive(Debug)]
pub struct RtpClock {
    /// RTP ticks per second.
    rate_hz: i64,
    last: Option<Last>,
}

/// What is kept of the access unit before. Times without a unit are in ticks of 90 kHz.
#[derive(Debug)]
struct Last {
    rtp_timestamp: u32,
    /// RTP ticks since `base`.
    rtp_ticks: i64,
    /// The media time at which the RTP timestamps were last connected to media time.
    base: i64,
    /// The last media time that was given out, and the latest one.
    given: i64,
    latest: i64,
    arrival: i64,
    /// Media time less arrival, as it is usual.
    offset: i64,
}

impl RtpClock {
    /// Makes a clock for timestamps of `rate_hz` ticks per second, as the SDP says. A rate of 0 counts as 90 kHz.
    pub fn new(rate_hz: u32) -> Self {
        let rate_hz = if rate_hz == 0 { Timestamp::TICKS_PER_SECOND } else { rate_hz.into() };
        Self { rate_hz, last: None }
    }

    /// Returns the media time of the access unit with `rtp_timestamp`, which came at `arrival` after a fixed moment.
    /// The first one is at zero.
    pub fn read(&mut self, rtp_timestamp: u32, arrival: Duration) -> ClockReading {
        let arrival = Timestamp::from_duration(arrival).ticks();
        let Some(last) = &mut self.last else {
            self.last = Some(Last::new(rtp_timestamp, 0, arrival));
            return ClockReading { timestamp: Timestamp::default(), has_jumped: false };
        };
        let elapsed = arrival.saturating_sub(last.arrival).max(0);
        let step = rtp_timestamp.wrapping_sub(last.rtp_timestamp).cast_signed();
        last.rtp_ticks = last.rtp_ticks.saturating_add(step.into());
        let scaled =
            i128::from(last.rtp_ticks) * i128::from(Timestamp::TICKS_PER_SECOND) / i128::from(self.rate_hz);
        let media = last.base.saturating_add(i64::try_from(scaled).unwrap_or(i64::MAX));
        let drift = media.saturating_sub(arrival).saturating_sub(last.offset);
        let has_jumped =
            drift.saturating_abs() > MAX_JUMP || media < last.latest.saturating_sub(REORDER_WINDOW);
        if has_jumped {
            // Media time goes on as the time of arrival did.
            let media = last.latest.saturating_add(elapsed.max(1));
            *last = Last::new(rtp_timestamp, media, arrival);
            return ClockReading { timestamp: Timestamp::from_ticks(media), has_jumped };
        }
        let max_drift = elapsed / DRIFT_DIVISOR;
        last.offset += drift.clamp(-max_drift, max_drift);
        (last.rtp_timestamp, last.arrival) = (rtp_timestamp, arrival.max(last.arrival));
        last.given = if step == 0 || media == last.given { last.given.saturating_add(1) } else { media };
        last.latest = last.latest.max(last.given);
        ClockReading { timestamp: Timestamp::from_ticks(last.given), has_jumped }
    }
}

impl Last {
    const fn new(rtp_timestamp: u32, media: i64, arrival: i64) -> Self {
        let offset = media.saturating_sub(arrival);
        Self { rtp_timestamp, rtp_ticks: 0, base: media, given: media, latest: media, arrival, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Reads timestamps that come `step_ms` apart. Returns the media times, and the places of jumps.
    fn read(clock: &mut RtpClock, step_ms: u32, timestamps: &[u32]) -> (Vec<i64>, Vec<usize>) {
        let mut at = MILLISECOND * 7_000;
        let mut each = |timestamp: &u32| {
            at += MILLISECOND * step_ms;
            clock.read(*timestamp, at)
        };
        let readings: Vec<_> = timestamps.iter().map(&mut each).collect();
        let jumps = (0..readings.len()).filter(|at| readings[*at].has_jumped).collect();
        (readings.iter().map(|reading| reading.timestamp.ticks()).collect(), jumps)
    }

    #[test]
    fn media_time_goes_on_across_a_wrap() {
        let found = read(&mut RtpClock::new(90_000), 40, &[u32::MAX - 3599, 0, 3600]);
        assert_eq!(found, (vec![0, 3600, 7200], vec![]));
        // Again and again: 48 steps of a fourth of the range are twelve wraps.
        let mut clock = RtpClock::new(90_000);
        let hours = (0..48).map(|quarter: i64| {
            let elapsed = Duration::from_nanos(quarter as u64 * (1 << 30) / 9 * 100_000);
            clock.read((quarter << 30) as u32, elapsed)
        });
        let expected = |quarter: i64| ClockReading {
            timestamp: Timestamp::from_ticks(quarter << 30),
            has_jumped: false,
        };
        assert!(hours.eq((0..48).map(expected)));
    }

    #[test]
    fn other_rates_become_90_khz_without_rounding_up_errors() {
        let timestamps: Vec<_> = (0..=1000).map(|second| second * 44_100 / 10).collect();
        let (found, jumps) = read(&mut RtpClock::new(44_100), 100, &timestamps);
        assert_eq!((found[1], found[1000], jumps.len()), (9_000, 9_000_000, 0));
        assert_eq!(read(&mut RtpClock::new(0), 40, &[0, 3600]).0, [0, 3600]);
    }

    #[test]
    fn reordered_pictures_go_back_within_the_window() {
        let order = [0, 14_400, 7_200, 3_600, 10_800, 28_800];
        let found = read(&mut RtpClock::new(90_000), 40, &order);
        assert_eq!(found, (order.map(i64::from).to_vec(), vec![]));
        let (found, jumps) = read(&mut RtpClock::new(90_000), 40, &[0, 180_000, 90_000, 89_999, 93_599]);
        assert_eq!((found, jumps), (vec![0, 180_000, 90_000, 183_600, 187_200], vec![3]));
    }

    #[test]
    fn a_repeated_timestamp_is_one_tick_more() {
        let found = read(&mut RtpClock::new(90_000), 40, &[500, 500, 500, 4100, 4100]);
        assert_eq!(found, (vec![0, 1, 2, 3600, 3601], vec![]));
    }

    #[test]
    fn media_time_goes_on_when_the_clock_jumps() {
        for jump in [90_000 * 3600, u32::MAX - 90_000 * 3600, 90_000 * 6, 1 << 31, u32::MAX - 90_000 * 2] {
            let timestamps = [0, 3600, jump + 7200, jump + 10_800];
            let found = read(&mut RtpClock::new(90_000), 40, &timestamps);
            assert_eq!(found, (vec![0, 3600, 7200, 10_800], vec![2]), "{jump}");
        }
        // So does a clock that stands still or goes on while nothing comes.
        let mut clock = RtpClock::new(90_000);
        clock.read(0, Duration::ZERO);
        assert!(!clock.read(4 * 90_000, MILLISECOND * 8_000).has_jumped);
        let late = clock.read(4 * 90_000 + 3600, MILLISECOND * 10_000);
        assert_eq!((late.has_jumped, late.timestamp.ticks()), (true, 6 * 90_000));
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        // 500 ppm too fast, for a day.
        let mut clock = RtpClock::new(90_000);
        let second = |second: u64| clock.read((second * 90_045) as u32, Duration::from_secs(second));
        let readings: Vec<_> = (0..86_400).map(second).collect();
        assert!(readings.iter().all(|reading| !reading.has_jumped));
        assert_eq!(readings[86_399].timestamp.ticks(), 86_399 * 90_045);
    }
}
