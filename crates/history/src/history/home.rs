//! Moves events from memory to the database where they belong, once that can be opened.
//!
//! Events keep their ids, unless the database has given ids as high before. Then all events in memory, and those that
//! still wait, get higher ids in the same order.

use std::sync::Arc;

use tracing::{debug, info};

use super::upkeep::Upkeep;
use super::{BATCH_BYTES, RESERVE, Shared};
use crate::Error;
use crate::clock::Now;
use crate::entry::Entry;
use crate::index::{Claim, Found, Index, Location, Shift};

/// The first and the longest delay between two attempts, in milliseconds.
const PAUSES_MS: (i64, i64) = (1_000, 30_000);

/// The most events to move at once.
const ROWS: usize = 1_000;

/// The database that the events move to, and the progress.
#[derive(Debug)]
pub(super) struct Home {
    location: Location,
    /// When the next attempt is due, by the boot clock.
    pub(super) at_ms: i64,
    pause_ms: i64,
    opened: Option<Opened>,
}

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) found: Found,
    /// How much higher the ids are there than in memory.
    pub(super) shift: i64,
    /// The last event that was moved, by its id in memory.
    brought: i64,
    /// The number of moved events.
    pub(super) count: u64,
}

impl Home {
    pub(super) fn new(location: Location, now: Now) -> Self {
        Self { location, at_ms: now.boot_ms + PAUSES_MS.0, pause_ms: PAUSES_MS.0, opened: None }
    }

    /// Whether some of the events are there, but not all.
    pub(super) fn has_brought(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.brought > 0)
    }

    /// Moves the events from memory to the database, if it can be opened. True once all are there and the history
    /// continues there.
    pub(super) async fn reach(&mut self, shared: &Shared, upkeep: &mut Upkeep) -> bool {
        match self.reach_once(shared, upkeep).await {
            Ok(count) => {
                info!(
                    "events are kept in {} from now on, and so are {count} that were in memory",
                    self.location
                );
                true
            }
            Err(error) => {
                debug!("events stay in memory: {error}");
                self.pause_ms = (self.pause_ms * 2).min(PAUSES_MS.1);
                self.at_ms = shared.clock.now().boot_ms + self.pause_ms;
                false
            }
        }
    }

    async fn reach_once(&mut self, shared: &Shared, upkeep: &mut Upkeep) -> Result<u64, Error> {
        // From the first moved event until all are there, times must not change.
        upkeep.finish(shared).await?;
        let memory = shared.index();
        if self.opened.is_none() {
            let above = shared.lock().first_id - 1;
            let claim = Claim { above, count: RESERVE };
            let (index, found) = Index::open(&self.location, claim).await?;
            // 0, unless the database has given higher ids.
            let shift = found.reserved - above;
            self.opened = Some(Opened { index, found, shift, brought: 0, count: 0 });
        }
        let opened = self.opened.as_mut().expect("it was opened");
        // If this run ends midway, the next one can correct the times of the events that are there.
        opened.index.plan(opened.waiting(shared)).await?;
        opened.bring(shared, &memory).await?;
        // From now on the database holds the shifts that wait.
        let planned = opened.waiting(shared);
        let first_id = shared.lock().first_id;
        let (_, used) = opened.index.after_id(first_id - 1, 1, 1).await?;
        opened.index.adopt(planned.clone(), upkeep.untold()).await?;
        let count = opened.count;
        if let Some(opened) = self.opened.take() {
            upkeep.go_on_with(&opened.found);
            shared.go_on_in(opened, &planned, used.unwrap_or(i64::MAX));
        }
        Ok(count)
    }
}

impl Opened {
    /// The shifts that wait there, with those that an earlier run left.
    fn waiting(&self, shared: &Shared) -> Vec<Shift> {
        let mut timeline = shared.lock().timeline.clone();
        timeline.go_on_with(self.found.shifts.clone(), self.shift);
        timeline.waiting()
    }

    /// Moves the events of `memory`, from the last moved one on.
    async fn bring(&mut self, shared: &Shared, memory: &Index) -> Result<(), Error> {
        loop {
            let (entries, last) = memory.after_id(self.brought, ROWS, BATCH_BYTES).await?;
            let Some(last) = last else { return Ok(()) };
            let shift = self.shift;
            let raised = |entry: Entry| Arc::new(Entry { id: entry.id + shift, ..entry });
            let batch: Vec<_> = entries.into_iter().map(raised).collect();
            let count = batch.len() as u64;
            let reserved = shared.lock().next_id + shift + RESERVE;
            self.index.write(batch, reserved, 0).await?;
            (self.brought, self.count) = (last, self.count + count);
            let mut state = shared.lock();
            state.brought = last;
            state.homeless = state.homeless.saturating_sub(count);
        }
    }
}
