//! Detects that the program itself was suspended: someone stopped it (`SIGSTOP`, a debugger), or the machine slept.
//!
//! When the program continues after that, timers fire at once while pictures still wait in sockets. Without this
//! module, supervisors would assume that the cameras had stopped, although the program itself had stood still. One
//! monitor serves all supervisors. A task records a heartbeat twice a second. Before a supervisor declares a camera
//! lost, it asks the monitor when the program was last suspended and continued. This module does not deal with cameras
//! itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::lock;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The time between two heartbeats. A heartbeat records that the program is running.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The time without a heartbeat after which the program counts as suspended. On a busy machine, heartbeats are usually
/// late by less than this.
const SUSPENDED_AFTER: Duration = Duration::from_millis(1500);

/// If a camera's connection fails within this time after a suspension of the program, the suspension is assumed to be
/// the cause.
const RESUME_GRACE: Duration = Duration::from_secs(10);

/// The clock that measures suspensions. This clock continues while the machine sleeps; the monotonic clock stops.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;

/// The clock for systems without `CLOCK_BOOTTIME`. With this clock, the monitor detects that the program was stopped.
/// It detects that the machine slept only if this clock continues during the sleep.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A monitor that records when the program last continued after a suspension. All clones share one record.
#[derive(Debug, Clone)]
pub(crate) struct SuspendMonitor(Arc<Mutex<Heartbeat>>);

impl SuspendMonitor {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Heartbeat { last: clock(), resumed_at: None })))
    }

    /// Records a heartbeat every [`HEARTBEAT_INTERVAL`] until `shutdown` is cancelled.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(heartbeat.tick()).await.is_some() {
            self.resumed_at();
        }
    }

    /// Returns when the program last continued after a suspension; `None` if the program was never suspended.
    pub(crate) fn resumed_at(&self) -> Option<Instant> {
        let mut heartbeat = lock(&self.0);
        if let Some(stood_still) = heartbeat.note(clock(), Instant::now()) {
            // The supervisor that asks first logs the suspension for all cameras.
            info!(
                parent: None,
                ?stood_still,
                "the server did not run for a while: it was suspended (SIGSTOP), or the machine slept or is \
                 overloaded; the server gives its cameras more time to deliver a picture"
            );
        }
        heartbeat.resumed_at
    }

    /// Returns whether the program was suspended so recently that a connection might have failed because of the
    /// suspension.
    pub(crate) fn has_resumed_recently(&self) -> bool {
        self.resumed_at().is_some_and(|resumed_at| resumed_at.elapsed() < RESUME_GRACE)
    }
}

/// Returns the time since a fixed moment in the past, including the time during which the machine slept.
fn clock() -> Duration {
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}

#[derive(Debug)]
struct Heartbeat {
    /// The time of the last heartbeat, as [`clock`] returned it.
    last: Duration,
    resumed_at: Option<Instant>,
}

impl Heartbeat {
    /// Records a heartbeat. `clock` is the current time of the clock that measures suspensions; `now` is the current
    /// time of Tokio's clock. Returns how long the program was suspended since the last heartbeat; `None` if it was not
    /// suspended.
    fn note(&mut self, clock: Duration, now: Instant) -> Option<Duration> {
        let since = clock.saturating_sub(self.last);
        self.last = clock;
        if since < SUSPENDED_AFTER {
            return None;
        }
        self.resumed_at = Some(now);
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn a_program_that_runs_never_woke() {
        let (mut heartbeat, now) = (Heartbeat { last: START, resumed_at: None }, Instant::now());
        for beat in 1..100 {
            assert_eq!(
                heartbeat.note(START + HEARTBEAT_INTERVAL * beat, now + HEARTBEAT_INTERVAL * beat),
                None
            );
        }
        assert_eq!(heartbeat.resumed_at, None);
    }

    #[test]
    fn a_stop_is_noticed_by_the_first_look() {
        let (mut heartbeat, now) = (Heartbeat { last: START, resumed_at: None }, Instant::now());
        let stop = Duration::from_secs(30);
        assert_eq!(heartbeat.note(START + stop, now + stop), Some(stop));
        assert_eq!(heartbeat.note(START + stop + HEARTBEAT_INTERVAL, now + stop + HEARTBEAT_INTERVAL), None);
        assert_eq!(heartbeat.resumed_at, Some(now + stop));
    }

    #[test]
    fn a_sleep_that_the_monotonic_clock_does_not_see_is_noticed() {
        let (mut heartbeat, now) = (Heartbeat { last: START, resumed_at: None }, Instant::now());
        let night = Duration::from_secs(8 * 3600);
        assert_eq!(heartbeat.note(START + night, now + HEARTBEAT_INTERVAL), Some(night));
        assert_eq!(heartbeat.resumed_at, Some(now + HEARTBEAT_INTERVAL));
    }
}
