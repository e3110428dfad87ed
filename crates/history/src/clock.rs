//! What time it is, by two clocks: the wall clock, which anybody may set at any moment, and the one that counts from the
//! machine's start, its sleep included, which nobody can set.
//!
//! A history asks a [`Clock`] when events happened, how old they are and when something is due, so that tests drive both clocks
//! through days in milliseconds. Only the ids that it takes at its start (`Claim::now`), and the pauses after a failed
//! attempt to write, go by the machine's clocks whatever the [`Clock`] says.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::entry::millis;

/// Two readings of the counting clock that are closer than this enclose one moment.
const ONE_MOMENT_MS: i64 = 1_000;

/// Goes on while the machine sleeps, which the monotonic clock does not.
#[cfg(target_os = "linux")]
const COUNTING: ClockId = ClockId::Boottime;

/// The next best where there is no such clock. On macOS it goes on while the machine sleeps; where it does not, sleep looks like a
/// wall clock that was set forward.
#[cfg(not(target_os = "linux"))]
const COUNTING: ClockId = ClockId::Monotonic;

/// A moment by both clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since 1970, UTC, as the wall clock has it.
    pub wall_ms: i64,
    /// Since the machine started, its sleep included: never goes back, and nobody sets it.
    pub boot_ms: i64,
}

impl Now {
    /// How far the wall clock is ahead of the counting one: the same all the time, unless somebody sets it.
    pub(crate) fn offset_ms(self) -> i64 {
        self.wall_ms.saturating_sub(self.boot_ms)
    }
}

/// What a history reads the time from, and waits by.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The moment.
    fn now(&self) -> Now;

    /// Waits until the counting clock shows `boot_ms`, or about that. Cancel safe.
    fn sleep_until(&self, boot_ms: i64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mut before = boot_ms();
        loop {
            let wall_ms = millis(SystemTime::now());
            let after = boot_ms();
            // A program that was stopped between two readings would take that for a clock that was set.
            if after - before < ONE_MOMENT_MS {
                return Now { wall_ms, boot_ms: after };
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
