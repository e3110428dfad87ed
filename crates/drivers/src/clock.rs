//! The clocks from which the times of frames are taken. The *wall clock* shows the date and time, and NTP or a person
//! can set it at any moment. The *monotonic clock* runs evenly, and nobody can set it.
//!
//! A frame's media time comes from the monotonic clock, so it advances evenly and never goes back. One point of the
//! wall clock, the *anchor*, turns media time into the capture time that viewers see.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_media::{Anchor, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// If reading both clocks takes less than this, both readings are treated as taken at the same moment.
const ONE_MOMENT: Duration = Duration::from_millis(50);

/// The difference between the wall clock and the expected wall-clock time above which capture times follow the wall
/// clock: somebody has set it, or has made it run faster or slower for a while. Larger than the inaccuracy of reading
/// both clocks ([`ONE_MOMENT`]), and small enough for the ages that viewers ask for.
const MAX_DEVIATION: Duration = Duration::from_millis(100);

/// The readings of both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The monotonic clock's time since an arbitrary moment: `CLOCK_MONOTONIC`, by which the kernel stamps frames too.
    pub monotonic: Duration,
    /// The wall clock's time.
    pub wall: SystemTime,
}

/// A source of the current time on both clocks. Tests use one that they control.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the current time on both clocks.
    fn now(&self) -> ClockReading;
}

/// The clocks of this machine.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> ClockReading {
        let mut before = monotonic_now();
        loop {
            let wall = SystemTime::now();
            let monotonic = monotonic_now();
            // A process that was suspended between the two readings would look like a clock that was set.
            if monotonic.saturating_sub(before) < ONE_MOMENT {
                return ClockReading { monotonic, wall };
            }
            before = monotonic;
        }
    }
}

fn monotonic_now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// When a picture was captured, as far as its driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureTime {
    /// Now, when the frame is made of the picture: for pictures that state no time and arrive at once.
    Now,
    /// At this time of the monotonic clock, which is [`ClockReading::monotonic`]. A time in the future counts as now.
    Monotonic(Duration),
    /// At this time of some wall clock, which the frame keeps unchanged: the time of the original capture, in a relay,
    /// or of a file's last change. The frame's media time is that of its arrival.
    Original(SystemTime),
}

/// The media time of one opening of a source: the time since the opening, on the monotonic clock.
#[derive(Debug)]
pub(crate) struct MediaClock {
    clock: Arc<dyn Clock>,
    /// The time of the monotonic clock at media time zero.
    zero_at: Duration,
    anchor: Anchor,
    /// The media time of the last frame.
    last: Duration,
}

impl MediaClock {
    /// Starts a media clock, which now shows zero.
    pub(crate) fn start(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        Self { clock, zero_at: now.monotonic, anchor: Anchor::new(now.wall), last: Duration::ZERO }
    }

    /// Returns the current time on the clocks behind this one.
    pub(crate) fn now(&self) -> ClockReading {
        self.clock.now()
    }

    /// Returns the media time now.
    #[cfg(feature = "program-source")]
    pub(crate) fn media_time(&self) -> Duration {
        self.media_time_of(self.now().monotonic)
    }

    /// Returns the media time at the time `at` of the monotonic clock; zero before the start.
    #[cfg(feature = "program-source")]
    pub(crate) fn media_time_of(&self, at: Duration) -> Duration {
        at.saturating_sub(self.zero_at)
    }

    /// Returns the time of the monotonic clock at `media_time`.
    #[cfg(feature = "program-source")]
    pub(crate) fn monotonic_of(&self, media_time: Duration) -> Duration {
        self.zero_at + media_time
    }

    /// Returns the media time and the time of capture of a picture that arrives now and was captured at `captured`.
    /// Media time never decreases from call to call.
    pub(crate) fn stamp(&mut self, captured: CaptureTime) -> (Timestamp, SystemTime) {
        let now = self.now();
        let arrival = now.monotonic.saturating_sub(self.zero_at);
        self.follow_wall_clock(now.wall, arrival);
        let media_time = match captured {
            CaptureTime::Monotonic(at) => at.saturating_sub(self.zero_at).min(arrival),
            CaptureTime::Now | CaptureTime::Original(_) => arrival,
        };
        self.last = media_time.max(self.last);
        let captured_at = match captured {
            CaptureTime::Original(time) => time,
            CaptureTime::Now | CaptureTime::Monotonic(_) => self.wall_time(),
        };
        (Timestamp::from_duration(self.last), captured_at)
    }

    /// Returns the wall-clock time at the media time that [`stamp`](Self::stamp) last returned.
    pub(crate) fn wall_time(&self) -> SystemTime {
        self.anchor.time_of(Timestamp::from_duration(self.last))
    }

    /// Sets a new anchor if the wall clock shows another time than the anchor and the media time `arrival` let expect:
    /// NTP or a person has set the wall clock, or the machine slept. Otherwise frames would look too old or too new.
    fn follow_wall_clock(&mut self, wall: SystemTime, arrival: Duration) {
        let Some(anchor) = wall.checked_sub(arrival).map(Anchor::new) else { return };
        if anchor.distance(self.anchor) > MAX_DEVIATION {
            self.anchor = anchor;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock that a test sets.
    #[derive(Debug)]
    pub(crate) struct HandClock(Mutex<ClockReading>);

    impl HandClock {
        pub(crate) fn new() -> Arc<Self> {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            Arc::new(Self(Mutex::new(ClockReading { monotonic: Duration::from_secs(100), wall })))
        }

        /// Lets time pass on both clocks.
        pub(crate) fn advance(&self, time: Duration) {
            let mut now = self.0.lock().unwrap();
            now.monotonic += time;
            now.wall += time;
        }

        /// Sets the wall clock, as NTP does.
        pub(crate) fn set_wall(&self, wall: SystemTime) {
            self.0.lock().unwrap().wall = wall;
        }
    }

    impl Clock for HandClock {
        fn now(&self) -> ClockReading {
            *self.0.lock().unwrap()
        }
    }

    const FRAME: Duration = Duration::from_millis(40);

    #[test]
    fn a_picture_that_states_no_time_was_captured_when_it_arrived() {
        let clock = HandClock::new();
        let mut media = MediaClock::start(clock.clone());
        for number in 1..=3 {
            clock.advance(FRAME);
            let (pts, captured_at) = media.stamp(CaptureTime::Now);
            assert_eq!((pts.ticks(), captured_at), (3600 * number, clock.now().wall));
        }
    }

    #[test]
    fn the_kernels_time_is_the_media_time_and_arrival_does_not_matter() {
        let clock = HandClock::new();
        let start = clock.now();
        let mut media = MediaClock::start(clock.clone());
        // The pictures arrive at uneven times after their captures.
        for (number, late_ms) in [(1, 5), (2, 30), (3, 1), (4, 39)] {
            let captured = FRAME * number;
            let at = captured + Duration::from_millis(late_ms);
            clock.advance(start.monotonic + at - clock.now().monotonic);
            let (pts, captured_at) = media.stamp(CaptureTime::Monotonic(start.monotonic + captured));
            assert_eq!((pts.ticks(), captured_at), (3600 * i64::from(number), start.wall + captured));
        }
    }

    #[test]
    fn media_time_never_runs_backwards_nor_into_the_future() {
        let clock = HandClock::new();
        let start = clock.now();
        let mut media = MediaClock::start(clock.clone());
        clock.advance(FRAME * 10);
        let ticks = [10, 5, 0, 99, 7]
            .map(|number| media.stamp(CaptureTime::Monotonic(start.monotonic + FRAME * number)).0.ticks());
        assert_eq!(ticks, [36_000; 5]);
        let before = start.monotonic.saturating_sub(FRAME);
        let mut media = MediaClock::start(clock);
        assert_eq!(media.stamp(CaptureTime::Monotonic(before)).0.ticks(), 0);
    }

    #[test]
    fn ages_stay_right_after_the_wall_clock_is_set_and_media_time_goes_on() {
        let clock = HandClock::new();
        let mut media = MediaClock::start(clock.clone());
        let day = Duration::from_secs(86_400);
        let set_to =
            [clock.now().wall + 365 * day, clock.now().wall - day, clock.now().wall + Duration::from_secs(1)];
        let mut last = media.stamp(CaptureTime::Now).0;
        for wall in set_to {
            clock.set_wall(wall);
            for _ in 0..3 {
                let captured = clock.now();
                clock.advance(FRAME);
                let (pts, captured_at) = media.stamp(CaptureTime::Monotonic(captured.monotonic));
                assert_eq!(clock.now().wall.duration_since(captured_at).unwrap(), FRAME);
                assert!(pts >= last && pts.saturating_since(last) <= FRAME);
                last = pts;
            }
        }
    }

    #[test]
    fn a_wall_clock_that_is_nudged_does_not_disturb_capture_times() {
        let clock = HandClock::new();
        let mut media = MediaClock::start(clock.clone());
        let expected = clock.now().wall + FRAME;
        clock.set_wall(clock.now().wall + MAX_DEVIATION);
        clock.advance(FRAME);
        assert_eq!(media.stamp(CaptureTime::Now).1, expected);
    }

    #[test]
    fn no_picture_comes_from_the_future_after_the_wall_clock_was_set_back_a_little() {
        let clock = HandClock::new();
        let mut media = MediaClock::start(clock.clone());
        clock.advance(FRAME);
        media.stamp(CaptureTime::Now);
        clock.set_wall(clock.now().wall - Duration::from_millis(200));
        for _ in 0..3 {
            clock.advance(FRAME);
            assert_eq!(media.stamp(CaptureTime::Now).1, clock.now().wall);
        }
    }

    #[test]
    fn a_relay_keeps_the_time_of_the_original_capture() {
        let clock = HandClock::new();
        let mut media = MediaClock::start(clock.clone());
        let original = clock.now().wall - Duration::from_secs(3);
        clock.advance(FRAME);
        let (pts, captured_at) = media.stamp(CaptureTime::Original(original));
        assert_eq!((pts.ticks(), captured_at), (3600, original));
    }

    #[test]
    fn the_machines_clocks_run_alike() {
        let (first, second) = (SystemClock.now(), SystemClock.now());
        assert!(second.monotonic >= first.monotonic && first.wall > SystemTime::UNIX_EPOCH);
    }
}
