//! Rate limits for warnings that can occur by the thousand: at most one a minute of each kind.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use framecast_media::lock;

/// How long further warnings of the same kind are suppressed after one was logged.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// The rate limit of one kind of warning: when the last one was logged, and how many were suppressed since then.
#[derive(Debug, Default)]
pub struct RateLimitedLog(Mutex<LogState>);

#[derive(Debug, Default)]
struct LogState {
    logged_at: Option<Instant>,
    unreported: u64,
}

impl RateLimitedLog {
    /// Records that the reason for a warning occurred. If a warning is allowed now, returns how often the reason has
    /// occurred since the last warning, including now. Otherwise returns `None`.
    pub fn should_log(&self) -> Option<u64> {
        self.should_log_at(Instant::now())
    }

    fn should_log_at(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.0);
        state.unreported += 1;
        if state.logged_at.is_some_and(|logged_at| now.saturating_duration_since(logged_at) < MIN_INTERVAL) {
            return None;
        }
        state.logged_at = Some(now);
        Some(std::mem::take(&mut state.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once_a_minute_with_how_often() {
        let (log, now) = (RateLimitedLog::default(), Instant::now());
        assert_eq!(log.should_log_at(now), Some(1));
        for second in 1..60 {
            assert_eq!(log.should_log_at(now + Duration::from_secs(second)), None);
        }
        assert_eq!(log.should_log_at(now + MIN_INTERVAL), Some(60));
        assert_eq!(log.should_log_at(now + MIN_INTERVAL * 9), Some(1));
    }
}
