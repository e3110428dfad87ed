//! The time by two clocks. Anybody may set the *wall clock* at any moment. The *boot clock* counts from the machine's
//! start, its sleep included, and nobody can set it.
//!
//! A history asks a [`Clock`] when events happened, how old they are and when something is due, so that tests drive
//! both clocks through days in milliseconds. Two things always use the machine's clocks: the ids that a history claims
//! at its start (`IdClaim::now`), and the pauses after a failed attempt to write.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::entry::millis;

/// Two readings of the boot clock closer than this count as one moment.
const ONE_MOMENT_MS: i64 = 1_000;

/// Runs on while the machine sleeps; the monotonic clock does not.
#[cfg(target_os = "linux")]
const COUNTING: ClockId = ClockId::Boottime;

/// A substitute on systems without that clock. On macOS it runs on while the machine sleeps. Where it does not, sleep
/// looks like a wall clock that was set forward.
#[cfg(not(target_os = "linux"))]
const COUNTING: ClockId = ClockId::Monotonic;

/// One moment by both clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// By the wall clock: since 1970, UTC.
    pub wall_ms: i64,
    /// By the boot clock: since the machine started, its sleep included. Never goes back, and nobody sets it.
    pub boot_ms: i64,
}

impl ClockReading {
    /// How far the wall clock is ahead of the boot clock. Constant, unless somebody sets the wall clock.
    pub(crate) fn offset_ms(self) -> i64 {
        self.wall_ms.saturating_sub(self.boot_ms)
    }
}

/// The source of time for a history, and of its waits.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current time by both clocks.
    fn now(&self) -> ClockReading;

    /// Waits until the boot clock shows about `boot_ms`. Cancel safe.
    fn sleep_until(&self, boot_ms: i64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> ClockReading {
        let mut before = boot_ms();
        loop {
            let wall_ms = millis(SystemTime::now());
            let after = boot_ms();
            // A process that was suspended between the two readings would look like a clock that was set.
            if after - before < ONE_MOMENT_MS {
                return ClockReading { wall_ms, boot_ms: after };
            }
            before = after;
        }
    }

    fn sleep_until(&self, boot_ms: i64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let left = boot_ms.saturating_sub(self.now().boot_ms);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        Box::pin(tokio::time::sleep(left))
    }
}

fn boot_ms() -> i64 {
    let since = Duration::try_from(clock_gettime(COUNTING)).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
