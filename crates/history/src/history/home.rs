//! From memory to the place where events belong, once that can be written.
//!
//! Events keep their ids, unless the place has given ids as high before: then all of them, and those that wait, get higher
//! ones in the same order.

use std::sync::Arc;

use tracing::{debug, info};

use super::upkeep::Upkeep;
use super::{BATCH_BYTES, RESERVE, Shared};
use crate::Error;
use crate::clock::Now;
use crate::entry::Entry;
use crate::index::{Claim, Found, Index, Location, Shift};

/// The first and the longest wait between two looks at the place, in milliseconds.
const PAUSES_MS: (i64, i64) = (1_000, 30_000);

/// How many events are brought at once.
const ROWS: usize = 1_000;

/// The place that events are brought to, and how far that has come.
#[derive(Debug)]
pub(super) struct Home {
    location: Location,
    /// When it is looked at next, by the counting clock.
    pub(super) at_ms: i64,
    pause_ms: i64,
    opened: Option<Opened>,
}

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) found: Found,
    /// How much higher ids are there.
    pub(super) shift: i64,
    /// The last event that was brought, by its id in memory.
    brought: i64,
    /// How many were brought.
    pub(super) count: u64,
}

impl Home {
    pub(super) fn new(location: Location, now: Now) -> Self {
        Self { location, at_ms: now.boot_ms + PAUSES_MS.0, pause_ms: PAUSES_MS.0, opened: None }
    }

    /// Whether some of the events are there, and not yet all.
    pub(super) fn has_brought(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.brought > 0)
    }

    /// Brings what is in memory there, if it can be written; true once all is there, and the history goes on there.
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
        // Once an event is brought its time stays as it is until all are there.
        upkeep.finish(shared).await?;
        let memory = shared.index();
        if self.opened.is_none() {
            let above = shared.lock().first_id - 1;
            let claim = Claim { above, count: RESERVE };
            let (index, found) = Index::open(&self.location, claim).await?;
            // Nothing, unless the place has given higher ones.
            let shift = found.reserved - above;
            self.opened = Some(Opened { index, found, shift, brought: 0, count: 0 });
        }
        let opened = self.opened.as_mut().expect("it was opened");
        // Should this run end midway, the next one knows how to put right what is there.
        opened.index.plan(opened.waiting(shared)).await?;
        opened.bring(shared, &memory).await?;
        // Times that wait to be put right wait there from now on.
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
    /// What waits there to be put right, with what an earlier run left.
    fn waiting(&self, shared: &Shared) -> Vec<Shift> {
        let mut timeline = shared.lock().timeline.clone();
        timeline.go_on_with(self.found.shifts.clone(), self.shift);
        timeline.waiting()
    }

    /// Brings what is in `memory`, from where it was broken off.
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
