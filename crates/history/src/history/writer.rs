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

/// How many events are written in one go.
const BATCH: usize = 1_000;

/// How many batches are written in a row.
const BATCHES: usize = 20;

/// The first and the longest wait after a failed attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often it is told at most that the database is away.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How often the time is noted, and what is too old, or too much, is looked for; in milliseconds.
const UPKEEP_EVERY_MS: i64 = 60_000;

/// How soon there is more of that to be done.
const UPKEEP_PAUSE_MS: i64 = 20;

/// How far writing has come.
enum Written {
    /// Nothing waits.
    All,
    /// There is more.
    Some,
    /// The history was closed, and the database does not take the rest.
    Never,
}

/// Writes what waits until the history is closed and nothing waits, or cannot be written. From memory events go `home` as
/// soon as they can.
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
        // Events may come for ever: what is too old is looked for all the same.
        if shared.clock.now().boot_ms >= upkeep_at_ms {
            let is_between = home.as_ref().is_some_and(Home::has_brought);
            let has_more = upkeep.run_once(&shared, is_between).await;
            let pause_ms = if has_more { UPKEEP_PAUSE_MS } else { UPKEEP_EVERY_MS };
            upkeep_at_ms = shared.clock.now().boot_ms + pause_ms;
        } else if matches!(written, Written::All) {
            // Either there is something to write, or it is time.
            let at_ms = home.as_ref().map_or(upkeep_at_ms, |home| home.at_ms.min(upkeep_at_ms));
            tokio::select! {
                () = shared.clock.sleep_until(at_ms) => {}
                () = shared.work.notified() => {}
            }
        }
    }
}

/// Writes what waits, a number of batches at most.
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

/// Tells that the database is away; of one that comes and goes, as a disk that is all but full, once a minute.
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
