//! Rate limits for warnings that may come by the thousand: at most one a minute of each kind.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long further warnings of the same kind are suppressed.
const PAUSE: Duration = Duration::from_secs(60);

/// One kind of warning: when it was last logged, and how many were suppressed since.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told_at: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Records an occurrence. If a warning may be logged now: the number of occurrences since the last one, this one
    /// included.
    pub fn occurs(&self) -> Option<u64> {
        self.occurs_at(Instant::now())
    }

    fn occurs_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.untold += 1;
        if state.told_at.is_some_and(|told_at| now.saturating_duration_since(told_at) < PAUSE) {
            return None;
        }
        state.told_at = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once_a_minute_with_how_often() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.occurs_at(now), Some(1));
        for second in 1..60 {
            assert_eq!(seldom.occurs_at(now + Duration::from_secs(second)), None);
        }
        assert_eq!(seldom.occurs_at(now + PAUSE), Some(60));
        assert_eq!(seldom.occurs_at(now + PAUSE * 9), Some(1));
    }
}
