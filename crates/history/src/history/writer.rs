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

/// How many batches are written in a row.
const BATCHES: usize = 20;

/// The first and the longest wait after a failed attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often what is too old, or too much, is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// How soon there is more of it to be taken away.
const PRUNE_PAUSE: Duration = Duration::from_millis(20);

/// How far writing has come.
enum Written {
    /// Nothing waits.
    All,
    /// There is more.
    Some,
    /// The history was closed, and the database does not take the rest.
    Never,
}

/// Writes what waits until the history is closed and nothing waits, or cannot be written.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut prune_at = Instant::now();
    loop {
        let written = write(&shared).await;
        let is_closed = shared.lock().is_closed;
        match written {
            Written::Never => return,
            Written::All if is_closed => return,
            Written::All => shared.idle.notify_waiters(),
            Written::Some => {}
        }
        // Events may come for ever: what is too old is looked for all the same.
        if Instant::now() >= prune_at {
            let pause = if prune(&shared).await { PRUNE_PAUSE } else { PRUNE_EVERY };
            prune_at = Instant::now() + pause;
        } else if matches!(written, Written::All) {
            // Either there is something to write, or it is time.
            timeout_at(prune_at, shared.work.notified()).await.ok();
        }
    }
}

/// Writes what waits, a number of batches at most.
async fn write(shared: &Shared) -> Written {
    let (mut pause, mut batches) = (PAUSES.0, 0);
    while batches < BATCHES {
        let (batch, reserved) = shared.lock().batch(BATCH);
        let count = batch.len();
        if count == 0 {
            return Written::All;
        }
        match shared.index.write(batch, reserved).await {
            Ok(()) => {
                back(shared);
                (pause, batches) = (PAUSES.0, batches + 1);
                shared.lock().written(count);
                shared.counts.written.fetch_add(count as u64, Ordering::Relaxed);
                shared.tell_dropped();
            }
            Err(error) => {
                away(shared, &error);
                if shared.lock().is_closed {
                    return Written::Never;
                }
                wait(shared, pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
    Written::Some
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
        Ok(pruned) => {
            back(shared);
            shared.lock().pruned = pruned.up_to;
            pruned.has_more
        }
        Err(error) => {
            away(shared, &error);
            false
        }
    }
}
