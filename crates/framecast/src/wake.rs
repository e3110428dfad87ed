//! Whether the program itself stood still: it was stopped (`SIGSTOP`, a debugger), or the machine slept.
//!
//! Timers fire at once when it runs again, while pictures still wait in sockets. Without this, cameras would be blamed for
//! a silence that was the program's own. One watch serves all supervisors: a task notes twice a second that the program
//! runs, and a supervisor asks when it last woke before it blames a camera. Nothing here knows cameras.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How often it is noted that the program runs.
const BEAT: Duration = Duration::from_millis(500);

/// With so much time since the last note the program stood still. A busy machine is late by less, as a rule.
const STOOD_STILL: Duration = Duration::from_millis(1500);

/// How long after waking connections may turn out to have died meanwhile.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Goes on while the machine sleeps, which the monotonic clock does not.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;

/// The next best where there is no such clock: there a stopped program is noticed, and a machine that slept as far as
/// this clock goes on meanwhile.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Knows when the program last ran again after it stood still. Clones share what they know.
#[derive(Debug, Clone)]
pub(crate) struct Wake(Arc<Mutex<Beats>>);

impl Wake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Beats { last: clock(), woke_at: None })))
    }

    /// Notes that the program runs, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(beats.tick()).await.is_some() {
            self.woke_at();
        }
    }

    /// When the program last began to run again; `None` if it never stood still.
    pub(crate) fn woke_at(&self) -> Option<Instant> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stood_still) = beats.note(clock(), Instant::now()) {
            // Whichever camera's supervisor finds it out, it concerns all.
            info!(
                parent: None,
                ?stood_still,
                "the program did not run: it was stopped, the machine slept or is overloaded; no camera is blamed for it"
            );
        }
        beats.woke_at
    }

    /// Whether the program woke so lately that a connection which fails may have died meanwhile.
    pub(crate) fn is_recent(&self) -> bool {
        self.woke_at().is_some_and(|woke_at| woke_at.elapsed() < AFTERMATH)
    }
}

/// The time since some moment in the past, the machine's sleep included.
fn clock() -> Duration {
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}

#[derive(Debug)]
struct Beats {
    /// By [`clock`]: when it was noted last that the program runs.
    last: Duration,
    woke_at: Option<Instant>,
}

impl Beats {
    /// Notes that the program runs at `now`, which is `clock` by the other clock; for how long it stood still, if it did.
    fn note(&mut self, clock: Duration, now: Instant) -> Option<Duration> {
        let since = clock.saturating_sub(self.last);
        self.last = clock;
        if since < STOOD_STILL {
            return None;
        }
        self.woke_at = Some(now);
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn a_program_that_runs_never_woke() {
        let (mut beats, now) = (Beats { last: START, woke_at: None }, Instant::now());
        for beat in 1..100 {
            assert_eq!(beats.note(START + BEAT * beat, now + BEAT * beat), None);
        }
        assert_eq!(beats.woke_at, None);
    }

    #[test]
    fn a_stop_is_noticed_by_the_first_look() {
        let (mut beats, now) = (Beats { last: START, woke_at: None }, Instant::now());
        let stop = Duration::from_secs(30);
        assert_eq!(beats.note(START + stop, now + stop), Some(stop));
        assert_eq!(beats.note(START + stop + BEAT, now + stop + BEAT), None);
        assert_eq!(beats.woke_at, Some(now + stop));
    }

    #[test]
    fn a_sleep_that_the_monotonic_clock_does_not_see_is_noticed() {
        let (mut beats, now) = (Beats { last: START, woke_at: None }, Instant::now());
        let night = Duration::from_secs(8 * 3600);
        assert_eq!(beats.note(START + night, now + BEAT), Some(night));
        assert_eq!(beats.woke_at, Some(now + BEAT));
    }
}
