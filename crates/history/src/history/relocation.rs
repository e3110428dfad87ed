//! Moves events from memory to the database that should store them, once the database can be opened.
//!
//! Events keep their ids, unless the database has assigned ids as high before. In that case, all events in memory, and
//! all events in the queue, get higher ids in the same order.

use std::sync::Arc;

use tracing::{debug, info};

use super::maintenance::Maintenance;
use super::{BATCH_BYTES, ID_BLOCK, Shared};
use crate::Error;
use crate::clock::ClockReading;
use crate::entry::Entry;
use crate::index::{IdClaim, Index, IndexState, Location, TimeCorrection};

/// The first and the longest delay between two attempts, in milliseconds.
const RETRY_DELAYS_MS: (i64, i64) = (1_000, 30_000);

/// The maximum number of events to move at once.
const ROWS: usize = 1_000;

/// The database to move the events to, and the progress so far.
#[derive(Debug)]
pub(super) struct Relocation {
    location: Location,
    /// The time of the next attempt on the boot clock, in milliseconds.
    pub(super) at_ms: i64,
    pause_ms: i64,
    destination: Option<Destination>,
}

#[derive(Debug)]
pub(super) struct Destination {
    pub(super) index: Index,
    pub(super) index_state: IndexState,
    /// How much higher the ids are in the database than in memory.
    pub(super) id_offset: i64,
    /// The last event that was moved, by its id in memory.
    relocated_up_to: i64,
    /// The number of moved events.
    pub(super) count: u64,
}

impl Relocation {
    pub(super) fn new(location: Location, now: ClockReading) -> Self {
        Self {
            location,
            at_ms: now.boot_ms + RETRY_DELAYS_MS.0,
            pause_ms: RETRY_DELAYS_MS.0,
            destination: None,
        }
    }

    /// Returns whether some of the events are in the database, but not all.
    pub(super) fn has_relocated(&self) -> bool {
        self.destination.as_ref().is_some_and(|destination| destination.relocated_up_to > 0)
    }

    /// Moves the events from memory to the database, if the database can be opened. Returns true once all events are in
    /// the database and the history continues there.
    pub(super) async fn try_relocate(&mut self, shared: &Shared, maintenance: &mut Maintenance) -> bool {
        match self.relocate_once(shared, maintenance).await {
            Ok(count) => {
                info!("the history is now in {}, with {count} events that were in memory", self.location);
                true
            }
            Err(error) => {
                debug!("events stay in memory: {error}");
                self.pause_ms = (self.pause_ms * 2).min(RETRY_DELAYS_MS.1);
                self.at_ms = shared.clock.now().boot_ms + self.pause_ms;
                false
            }
        }
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
        let (_, used) = destination.index.after_id(first_id - 1, 1, 1).await?;
        destination.index.adopt(planned.clone(), maintenance.unreported()).await?;
        let count = destination.count;
        if let Some(destination) = self.destination.take() {
            maintenance.continue_with(&destination.index_state);
            shared.continue_in(destination, &planned, used.unwrap_or(i64::MAX));
        }
        Ok(count)
    }
}

impl Destination {
    /// Returns the pending time corrections for the database, including those that an earlier run left there.
    fn waiting(&self, shared: &Shared) -> Vec<TimeCorrection> {
        let mut timeline = shared.lock().timeline.clone();
        timeline.continue_with(self.index_state.shifts.clone(), self.id_offset);
        timeline.waiting()
    }

    /// Moves the events of `memory` that are not moved yet.
    async fn relocate(&mut self, shared: &Shared, memory: &Index) -> Result<(), Error> {
        loop {
            let (entries, last) = memory.after_id(self.relocated_up_to, ROWS, BATCH_BYTES).await?;
            let Some(last) = last else { return Ok(()) };
            let id_offset = self.id_offset;
            let raised = |entry: Entry| Arc::new(Entry { id: entry.id + id_offset, ..entry });
            let batch: Vec<_> = entries.into_iter().map(raised).collect();
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
