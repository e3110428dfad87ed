//! Two clocks. The *wall clock* shows the date and time, and anybody can set it at any moment. The *boot clock* counts
//! from the machine's start, including the time that the machine sleeps, and nobody can set it.
//!
//! A history asks a [`Clock`] when events happened, how old they are and when something is due. Tests use a clock that
//! they control, and so run through days in milliseconds. Two things always use the machine's clocks: the ids that a
//! history reserves at its start (`IdClaim::now`), and the pauses after a failed attempt to write.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::entry::millis;

/// If reading both clocks takes less than this, in milliseconds, both readings are treated as taken at the same moment.
const ONE_MOMENT_MS: i64 = 1_000;

/// The clock that serves as the boot clock on Linux. Unlike Linux's monotonic clock, it keeps running while the machine
/// sleeps.
#[cfg(target_os = "linux")]
const COUNTING: ClockId = ClockId::Boottime;

/// The clock that serves as the boot clock on systems without `CLOCK_BOOTTIME`. On macOS this clock keeps running while
/// the machine sleeps. On a system where it stops, sleep looks as if the wall clock had been set forward.
#[cfg(not(target_os = "linux"))]
const COUNTING: ClockId = ClockId::Monotonic;

/// The readings of both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock's time, in milliseconds since 1970, UTC.
    pub wall_ms: i64,
    /// The boot clock's time, in milliseconds since the machine started, including the time that the machine slept.
    /// Never goes back, and nobody can set it.
    pub boot_ms: i64,
}

impl ClockReading {
    /// Returns the time of the wall clock minus that of the boot clock, in milliseconds. The result is constant unless
    /// somebody sets the wall clock.
    pub(crate) fn offset_ms(self) -> i64 {
        self.wall_ms.saturating_sub(self.boot_ms)
    }
}

/// A source of the current time on both clocks, the wall clock and the boot clock, and a way to wait.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the current time on the wall clock and on the boot clock.
    fn now(&self) -> ClockReading;

    /// Waits until the boot clock shows about `boot_ms`, in milliseconds since the machine started. Cancel safe.
    fn sleep_until(&self, boot_ms: i64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The wall clock and the boot clock of this machine, as opposed to the clocks that tests control.
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
