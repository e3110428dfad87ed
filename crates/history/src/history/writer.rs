//! The one task that writes to the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use super::Shared;
use super::home::Home;
use super::upkeep::Upkeep;
use crate::Error;

/// The most events to write in one go.
const BATCH: usize = 1_000;

/// The most batches to write in a row.
const BATCHES: usize = 20;

/// The first and the longest delay after a failed attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The least time between two warnings that the database is unavailable.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The interval of maintenance (the time, events that are too old or too many), in milliseconds.
const UPKEEP_EVERY_MS: i64 = 60_000;

/// The pause before more of the same maintenance, in milliseconds.
const UPKEEP_PAUSE_MS: i64 = 20;

/// The result of writing.
enum Written {
    /// The queue is empty.
    All,
    /// There is more to write.
    Some,
    /// The history was closed, and the database does not accept the rest.
    Never,
}

/// Writes the queue until the history is closed and the queue is empty or cannot be written. Moves events from memory
/// to their database as soon as that is possible.
pub(super) async fn run(shared: Arc<Shared>, mut upkeep: Upkeep, mut home: Option<Home>) {
    let mut upkeep_at_ms = shared.clock.now().boot_ms;
    loop {
        let written = write(&shared, &mut upkeep).await;
        let is_closed = shared.lock().is_closed;
        if let Some(place) = &mut home
            && (is_closed || shared.clock.now().boot_ms >= place.at_ms)
            && place.reach(&shared, &mut upkeep).await
        {
            home = None;
            continue;
        }
        match written {
            Written::Never => return,
            Written::All if is_closed => return,
            Written::All => shared.idle.notify_waiters(),
            Written::Some => {}
        }
        // Events may come without a pause; maintenance still has to run.
        if shared.clock.now().boot_ms >= upkeep_at_ms {
            let is_between = home.as_ref().is_some_and(Home::has_brought);
            let has_more = upkeep.run_once(&shared, is_between).await;
            let pause_ms = if has_more { UPKEEP_PAUSE_MS } else { UPKEEP_EVERY_MS };
            upkeep_at_ms = shared.clock.now().boot_ms + pause_ms;
        } else if matches!(written, Written::All) {
            // Wait for an event or for the next due time.
            let at_ms = home.as_ref().map_or(upkeep_at_ms, |home| home.at_ms.min(upkeep_at_ms));
            tokio::select! {
                () = shared.clock.sleep_until(at_ms) => {}
                () = shared.work.notified() => {}
            }
        }
    }
}

/// Writes the queue, at most a number of batches.
async fn write(shared: &Shared, upkeep: &mut Upkeep) -> Written {
    let (mut pause, mut batches) = (PAUSES.0, 0);
    while batches < BATCHES {
        let (batch, reserved, brought) = {
            let state = shared.lock();
            let (batch, reserved) = state.batch(BATCH);
            (batch, reserved, state.brought)
        };
        let count = batch.len();
        if count == 0 {
            return Written::All;
        }
        match shared.index().write(batch, reserved, brought).await {
            Ok(displaced) => {
                back(shared);
                (pause, batches) = (PAUSES.0, batches + 1);
                shared.written(count, displaced);
                shared.tell_dropped();
            }
            Err(error) => {
                away(shared, &error);
                upkeep.let_tables_begin();
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

/// Waits before the next attempt; does not wait once the history is closed.
async fn wait(shared: &Shared, pause: Duration) {
    let until = Instant::now() + pause;
    // Each new event notifies `work` too, so check whether the history was closed.
    while !shared.lock().is_closed {
        if timeout_at(until, shared.work.notified()).await.is_err() {
            return;
        }
    }
    sleep(Duration::ZERO).await;
}

/// Logs that the database is unavailable. If it comes and goes, as a disk that is nearly full, logs once a minute.
pub(super) fn away(shared: &Shared, error: &Error) {
    shared.counts.failures.fetch_add(1, Ordering::Relaxed);
    let mut state = shared.lock();
    let was_away = std::mem::replace(&mut state.is_away, true);
    if was_away || state.away_told_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
        debug!("still not written: {error}");
    } else {
        (state.away_told_at, state.is_away_told) = (Some(Instant::now()), true);
        let advice = if error.is_full() { "; free some room" } else { "" };
        warn!("{error}; events wait in memory, and are written when it is back{advice}");
    }
}

pub(super) fn back(shared: &Shared) {
    let mut state = shared.lock();
    state.is_away = false;
    if std::mem::replace(&mut state.is_away_told, false) {
        info!(waiting = state.waiting, "the history's database is back");
    }
}
