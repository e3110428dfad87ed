//! The only task that writes to the database of the history.

use std::sync::Arc;
use std::time::Duration;

use framecast_media::Backoff;
use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::availability::{recovered, unavailable};
use super::maintenance::Maintenance;
use super::relocation::Relocation;

/// The maximum number of events to write to the database at once (a batch).
const BATCH: usize = 1_000;

/// The maximum number of batches of events to write to the database in a row. Maintenance can run after them.
const MAX_BATCHES: usize = 20;

/// The first and the longest delay after a failed attempt to write to the database.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The interval between two passes of maintenance, which corrects times and removes events, in milliseconds.
const MAINTENANCE_INTERVAL_MS: i64 = 60_000;

/// The pause after a pass of maintenance that has left work for the next pass, in milliseconds.
const MAINTENANCE_PAUSE_MS: i64 = 20;

/// How an attempt to write the queued events to the database ended.
enum WriteOutcome {
    /// All queued events were written: the queue is empty.
    All,
    /// The queue might have more events, but it is time for other work.
    Some,
    /// The history was closed, and the database does not accept the remaining events, which are lost.
    Never,
}

/// Runs the task that writes queued events to the database. Ends once the history is closed, and either the queue is
/// empty or the database accepts no more events. If events are kept in memory because the database cannot be opened
/// yet, moves them to the database as soon as that is possible.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut maintenance: Maintenance,
    mut relocation: Option<Relocation>,
) {
    let mut maintenance_at_ms = shared.clock.now().boot_ms;
    loop {
        let written = write(&shared, &mut maintenance).await;
        let is_closed = shared.lock().is_closed;
        if let Some(place) = &mut relocation
            && (is_closed || shared.clock.now().boot_ms >= place.at_ms)
            && place.try_relocate(&shared, &mut maintenance).await
        {
            relocation = None;
            continue;
        }
        match written {
            WriteOutcome::Never => return,
            WriteOutcome::All if is_closed => return,
            WriteOutcome::All => shared.idle.notify_waiters(),
            WriteOutcome::Some => {}
        }
        // Maintenance must run even if new events arrive without a pause.
        if shared.clock.now().boot_ms >= maintenance_at_ms {
            let is_relocating = relocation.as_ref().is_some_and(Relocation::has_relocated);
            let has_more = maintenance.run_once(&shared, is_relocating).await;
            let pause_ms = if has_more { MAINTENANCE_PAUSE_MS } else { MAINTENANCE_INTERVAL_MS };
            maintenance_at_ms = shared.clock.now().boot_ms + pause_ms;
        } else if matches!(written, WriteOutcome::All) {
            // Wait for an event or for the next due time.
            let at_ms = relocation
                .as_ref()
                .map_or(maintenance_at_ms, |relocation| relocation.at_ms.min(maintenance_at_ms));
            tokio::select! {
                () = shared.clock.sleep_until(at_ms) => {}
                () = shared.work.notified() => {}
            }
        }
    }
}

/// Writes queued events to the database, in at most `MAX_BATCHES` batches.
async fn write(shared: &Shared, maintenance: &mut Maintenance) -> WriteOutcome {
    let (mut backoff, mut batches) = (Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1), 0);
    while batches < MAX_BATCHES {
        let (batch, reserved, relocated_up_to) = {
            let state = shared.lock();
            let (batch, reserved) = state.batch(BATCH);
            (batch, reserved, state.relocated_up_to)
        };
        let count = batch.len();
        if count == 0 {
            return WriteOutcome::All;
        }
        match shared.index().write(batch, reserved, relocated_up_to).await {
            Ok(evicted) => {
                recovered(shared);
                backoff.reset();
                batches += 1;
                shared.written(count, evicted);
                shared.report_dropped();
            }
            Err(error) => {
                unavailable(shared, &error);
                maintenance.release_tables();
                if shared.lock().is_closed {
                    return WriteOutcome::Never;
                }
                wait(shared, backoff.next_delay(0.0)).await;
            }
        }
    }
    WriteOutcome::Some
}

/// Waits for `pause` before the next attempt to write. Returns at once if the history is closed, also while it waits.
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
