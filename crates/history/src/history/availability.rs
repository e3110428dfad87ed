//! Whether the history's database is available, and what the log says of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Shared;
use crate::Error;

/// The minimum time between two warnings that the database is unavailable.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Adds one to the history's number of failed attempts to write, and logs that the database is unavailable. If the
/// database fails and recovers again and again, as with a disk that is nearly full, logs at most one warning a minute.
pub(super) fn unavailable(shared: &Shared, error: &Error) {
    shared.counts.failures.fetch_add(1, Ordering::Relaxed);
    let mut state = shared.lock();
    let was_unavailable = std::mem::replace(&mut state.is_unavailable, true);
    if was_unavailable || state.unavailable_logged_at.is_some_and(|at| at.elapsed() < WARN_INTERVAL) {
        debug!("events still cannot be written: {error}");
    } else {
        (state.unavailable_logged_at, state.must_log_recovery) = (Some(Instant::now()), true);
        let advice = if error.is_full() { "; free some space" } else { "" };
        warn!("{error}; events wait in memory until they can be written{advice}");
    }
}

/// Notes that the database accepts events, and logs that if a warning has said before that it does not.
pub(super) fn recovered(shared: &Shared) {
    let mut state = shared.lock();
    state.is_unavailable = false;
    if std::mem::replace(&mut state.must_log_recovery, false) {
        info!(waiting = state.waiting, "the history's database is available again");
    }
}
