//! The one task that writes to the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use super::Shared;
use crate::Error;
use crate::entry::millis;

/// How many events are written in one go.
const BATCH: usize = 1_000;

/// The first and the longest wait after a failed attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often what is too old, or too much, is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Writes what waits until the history is closed and nothing waits, or cannot be written.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut prune_at = Instant::now();
    loop {
        if !write_all(&shared).await {
            return;
        }
        shared.idle.notify_waiters();
        if shared.lock().is_closed {
            return;
        }
        // Either there is something to write, or it is time to look for what is too old.
        if timeout_at(prune_at, shared.work.notified()).await.is_err() {
            let more = prune(&shared).await;
            prune_at = Instant::now() + if more { Duration::from_millis(20) } else { PRUNE_EVERY };
        }
    }
}

/// Writes all that waits; false where the history was closed before that could be done.
async fn write_all(shared: &Shared) -> bool {
    let mut pause = PAUSES.0;
    loop {
        let (batch, reserved) = shared.lock().batch(BATCH);
        let count = batch.len();
        if count == 0 {
            return true;
        }
        match shared.index.write(batch, reserved).await {
            Ok(()) => {
                back(shared);
                pause = PAUSES.0;
                shared.lock().written(count, reserved);
                shared.counts.written.fetch_add(count as u64, Ordering::Relaxed);
                shared.tell_dropped();
            }
            Err(error) => {
                away(shared, &error);
                if shared.lock().is_closed {
                    return false;
                }
                wait(shared, pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Waits before the next attempt; not at all once the history is closed.
async fn wait(shared: &Shared, pause: Duration) {
    let until = Instant::now() + pause;
    // It is rung for each event that comes, too.
    while !shared.lock().is_closed {
        if timeout_at(until, shared.work.notified()).await.is_err() {
            return;
        }
    }
    sleep(Duration::ZERO).await;
}

fn away(shared: &Shared, error: &Error) {
    shared.counts.failures.fetch_add(1, Ordering::Relaxed);
    let was_away = std::mem::replace(&mut shared.lock().is_away, true);
    if was_away {
        debug!("still not written: {error}");
    } else {
        warn!("{error}; events wait, and are written when it is back");
    }
}

fn back(shared: &Shared) {
    let mut state = shared.lock();
    if std::mem::replace(&mut state.is_away, false) {
        info!(waiting = state.waiting, "the history's database is back");
    }
}

/// Takes some of what is not to be kept away; true when there is more.
async fn prune(shared: &Shared) -> bool {
    let retention = shared.retention(millis(SystemTime::now()));
    if retention.before_ms.is_none() && retention.max_rows.is_none() {
        return false;
    }
    match shared.index.prune(retention).await {
        Ok(more) => more,
        Err(error) => {
            away(shared, &error);
            false
        }
    }
}
