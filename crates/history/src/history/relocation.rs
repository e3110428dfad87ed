//! Moves events from memory to the database that should store them, once that database can be opened.
//!
//! The events keep their ids, unless earlier runs of the server have already assigned the same ids in the database. In
//! that case, all events in memory, and all events in the queue, get higher ids in the same order.

use std::sync::Arc;
use std::time::Duration;

use framecast_media::Backoff;
use tracing::{debug, info, warn};

use super::maintenance::Maintenance;
use super::{BATCH_BYTES, ID_BLOCK, Shared};
use crate::Error;
use crate::clock::ClockReading;
use crate::entry::{Entry, Key};
use crate::index::{BlockLimit, BlockSize, IdClaim, Index, IndexState, Location, TimeCorrection};

/// The first and the longest delay between two attempts to open the database.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The maximum number of events to move to the database in one step.
const ROWS: usize = 1_000;

/// The database to which the events in memory are moved, and how far the move has come.
#[derive(Debug)]
pub(super) struct Relocation {
    location: Location,
    /// When to try next to open the database, in milliseconds on the boot clock (since the machine started).
    pub(super) at_ms: i64,
    backoff: Backoff,
    destination: Option<Destination>,
    /// The last warning in the log about an error that does not go away by itself.
    warned: Option<String>,
}

#[derive(Debug)]
pub(super) struct Destination {
    pub(super) index: Index,
    pub(super) index_state: IndexState,
    /// How much higher the id of an event is in the database than in memory.
    pub(super) id_offset: i64,
    /// The id, as in memory, of the last event that was moved to the database.
    relocated_up_to: i64,
    /// The number of events that were moved to the database.
    pub(super) count: u64,
}

impl Relocation {
    pub(super) fn new(location: Location, now: ClockReading) -> Self {
        let backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        let mut relocation = Self { location, at_ms: 0, backoff, destination: None, warned: None };
        relocation.try_later(now);
        relocation
    }

    /// Plans the next attempt, after one more delay from `now`.
    fn try_later(&mut self, now: ClockReading) {
        self.at_ms = now.boot_ms + self.backoff.next_delay(0.0).as_millis() as i64;
    }

    /// Returns whether the move has begun: some of the events in memory have been copied to the database.
    pub(super) fn has_relocated(&self) -> bool {
        self.destination.as_ref().is_some_and(|destination| destination.relocated_up_to > 0)
    }

    /// Tries to open the database and to move all events from memory to it. Returns true once all events are in the
    /// database and the history continues there.
    pub(super) async fn try_relocate(&mut self, shared: &Shared, maintenance: &mut Maintenance) -> bool {
        match self.relocate_once(shared, maintenance).await {
            Ok(count) => {
                info!("the history is now in {}, with {count} events that were in memory", self.location);
                true
            }
            Err(error) => {
                self.log(&error);
                self.try_later(shared.clock.now());
                false
            }
        }
    }

    /// Logs why the events in memory could not be moved. Warns, once, of a database that answers and refuses. The
    /// server's start has warned of a database that is away, and of a file that cannot be written.
    fn log(&mut self, error: &Error) {
        let text = error.to_string();
        if error.is_transient() || error.is_unwritable() || self.warned.as_ref() == Some(&text) {
            debug!("cannot move the events in memory to the database, will try again: {text}");
            return;
        }
        warn!("{text}; the server keeps the newest events in memory, and tries again");
        self.warned = Some(text);
    }

    async fn relocate_once(&mut self, shared: &Shared, maintenance: &mut Maintenance) -> Result<u64, Error> {
        // Times must not change from the first moved event until all events are in the database.
        maintenance.finish(shared).await?;
        let memory = shared.index();
        if self.destination.is_none() {
            let above = shared.lock().first_id - 1;
            let claim = IdClaim { above, count: ID_BLOCK };
            let (index, index_state) = Index::open(&self.location, claim).await?;
            // 0, unless the database has given higher ids.
            let id_offset = index_state.reserved - above;
            self.destination =
                Some(Destination { index, index_state, id_offset, relocated_up_to: 0, count: 0 });
        }
        let destination = self.destination.as_mut().expect("it was opened");
        // If this run ends before all events are moved, the next run can correct the times of the moved events.
        destination.index.plan(destination.waiting(shared)).await?;
        destination.relocate(shared, &memory).await?;
        // From now on the database stores the pending time corrections.
        let planned = destination.waiting(shared);
        let first_id = shared.lock().first_id;
        let used = destination
            .index
            .after_id(first_id - 1, BlockLimit { rows: 1, size: BlockSize::Entries(1) })
            .await?
            .last();
        destination.index.adopt(planned.clone(), maintenance.unreported()).await?;
        let count = destination.count;
        if let Some(destination) = self.destination.take() {
            maintenance.continue_with(&destination.index_state);
            shared.continue_in(destination, &planned, used.map_or(i64::MAX, |key| key.id));
        }
        Ok(count)
    }
}

impl Destination {
    /// Returns the time corrections that are still to be applied to events in the database: those that an earlier run
    /// of the server left there, and those of this run.
    fn waiting(&self, shared: &Shared) -> Vec<TimeCorrection> {
        let mut timeline = shared.lock().timeline.clone();
        timeline.continue_with(self.index_state.shifts.clone(), self.id_offset);
        timeline.waiting()
    }

    /// Copies the events of `memory` that are not in the database yet.
    async fn relocate(&mut self, shared: &Shared, memory: &Index) -> Result<(), Error> {
        loop {
            let limit = BlockLimit { rows: ROWS, size: BlockSize::Entries(BATCH_BYTES) };
            let block = memory.after_id(self.relocated_up_to, limit).await?;
            let Some(Key { id: last, .. }) = block.last() else { return Ok(()) };
            let id_offset = self.id_offset;
            let raised = |entry: Entry| Arc::new(Entry { id: entry.id + id_offset, ..entry });
            let batch: Vec<_> = block.entries().into_iter().map(raised).collect();
            let count = batch.len() as u64;
            let reserved = shared.lock().next_id + id_offset + ID_BLOCK;
            self.index.write(batch, reserved, 0).await?;
            (self.relocated_up_to, self.count) = (last, self.count + count);
            let mut state = shared.lock();
            state.relocated_up_to = last;
            state.in_memory_count = state.in_memory_count.saturating_sub(count);
        }
    }
}
