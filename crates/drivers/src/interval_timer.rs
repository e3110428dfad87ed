//! A timer for pictures at a constant rate.
//!
//! On Linux a kernel timer wakes the thread once for each picture. The async runtime's own timer would also wake the
//! thread now and then before the deadline. These wake-ups would be a fifth of the total CPU cost of a camera with this
//! timer.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Wakes the waiting task at the start of each interval. Intervals are counted from the timer's creation. Must be
/// created within an async runtime.
#[derive(Debug)]
pub(crate) struct IntervalTimer {
    #[cfg(target_os = "linux")]
    timer: Option<kernel::Timer>,
}

impl IntervalTimer {
    pub(crate) fn new(interval: Duration) -> Self {
        #[cfg(not(target_os = "linux"))]
        let _ = interval;
        Self {
            // If no file descriptor is left, the runtime's timer is used instead.
            #[cfg(target_os = "linux")]
            timer: is_real_time().then(|| kernel::Timer::new(interval).ok()).flatten(),
        }
    }

    /// Waits until `at`, the start of an interval. Cancel safe.
    pub(crate) async fn wait_until(&self, at: Instant) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &self.timer {
            while Instant::now() < at {
                timer.tick().await;
            }
            return;
        }
        sleep_until(at).await;
    }
}

/// Returns whether the runtime's clock is the real one. It is not in a test that stops the runtime's clock and advances
/// it by hand; the kernel's timer would not follow.
#[cfg(target_os = "linux")]
fn is_real_time() -> bool {
    let before = std::time::Instant::now();
    let now = Instant::now().into_std();
    (before..=std::time::Instant::now()).contains(&now)
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A kernel timer that signals through a file descriptor: timerfd_create(2).
    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new(interval: Duration) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let period = Timespec::try_from(interval).map_err(io::Error::other)?;
            let ticks = Itimerspec { it_interval: period, it_value: period };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
            Ok(Self(register(timer)?))
        }

        /// Waits for the next tick. Returns at once if ticks have occurred since the last wait.
        pub(super) async fn tick(&self) {
            let Ok(mut ready) = self.0.readable().await else { return };
            // The kernel does not signal again until its tick count was read. The count itself is not needed, because
            // the caller checks the clock.
            rustix::io::read(self.0.get_ref(), &mut [0; 8]).ok();
            ready.clear_ready();
        }
    }

    #[allow(
        deprecated,
        reason = "the requirement on the caller holds: the timer owns its file, and never another one"
    )]
    fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::with_interest(timer, Interest::READABLE)
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_stands_still_is_waited_for_by_its_own_time() {
        let start = Instant::now();
        let ticks = IntervalTimer::new(Duration::from_secs(3600));
        for hour in 0..3 {
            ticks.wait_until(start + Duration::from_secs(3600 * hour)).await;
        }
        assert!(start.elapsed() >= Duration::from_secs(7200));
    }

    #[tokio::test]
    async fn nobody_is_woken_early_and_who_is_late_does_not_wait() {
        let start = Instant::now();
        let (interval, ticks) = (Duration::from_millis(5), IntervalTimer::new(Duration::from_millis(5)));
        for number in 0..10 {
            let at = start + interval * number;
            ticks.wait_until(at).await;
            assert!(Instant::now() >= at);
            if number == 3 {
                framecast_testkit::blocking::pause(interval * 4);
            }
        }
    }
}
