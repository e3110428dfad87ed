//! Events as they happen, from a place on: a cursor over what is at hand, and over the index for what is not any more.
//!
//! A listener that is slow, or comes back after a while, holds 32 KiB at most: it falls back to the index, misses nothing that
//! is kept, and is told where something is not kept any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use framecast_hub::EventKind;
use tokio::sync::watch;
use tracing::debug;

use crate::history::Kept;
use crate::index::Index;
use crate::query::Filter;
use crate::{Error, History};

/// How many events are taken at once.
const PAGE: usize = 64;

/// No more are taken once they have so many bytes: with the last of them, which has 12 KiB at most, 28 KiB.
const PAGE_BYTES: usize = 16 << 10;

/// The wait before the index is asked again after it failed.
const RETRY: Duration = Duration::from_secs(1);

/// What a listener hears.
#[derive(Debug)]
pub enum Heard {
    /// An event.
    Event(Arc<Kept>),
    /// There were events before the next one that are not kept any more; how many is not known.
    Missed,
}

/// How far a listener has come.
#[derive(Debug)]
pub(crate) struct Position {
    /// The id up to which it has looked.
    pub(crate) after: i64,
    /// The id up to which nothing, or what is missing, was told; `None` where all that there is was asked for.
    told: Option<i64>,
    /// How much higher ids were, when it was looked for last, than those that were given at first.
    shift: i64,
}

impl Position {
    pub(crate) fn new(after: i64, shift: i64) -> Self {
        // From the beginning on is from what there is.
        Self { after, told: (after > 0).then_some(after), shift }
    }

    /// Is the same place when ids are higher by `shift` than those that were given at first.
    pub(crate) fn follow(&mut self, shift: i64) {
        let by = shift - std::mem::replace(&mut self.shift, shift);
        self.after += by;
        self.told = self.told.map(|told| told + by);
    }
}

/// Where the events after a position are.
pub(crate) enum Place {
    /// At hand.
    AtHand(Vec<Arc<Kept>>),
    /// In the index, the first of them there alone. It alone has those up to the id `until`.
    Index { index: Index, until: i64 },
}

/// A position in the events of a history.
#[derive(Debug)]
pub struct Listener {
    history: History,
    filter: Filter,
    position: Position,
    newest: watch::Receiver<i64>,
    ready: VecDeque<Arc<Kept>>,
}

impl Listener {
    pub(crate) fn new(
        history: History,
        filter: Filter,
        position: Position,
        newest: watch::Receiver<i64>,
    ) -> Self {
        Self { history, filter, position, newest, ready: VecDeque::new() }
    }

    /// The id of the last event that it has looked at, wanted or not: where one that comes back may begin.
    pub fn position(&self) -> i64 {
        self.ready.front().map_or(self.position.after, |kept| kept.entry.id - 1)
    }

    /// What it hears next. Cancel safe. `None` when the history is gone.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(kept) = self.ready.pop_front() {
                return Some(Heard::Event(kept));
            }
            // Marked as seen first: what comes while this looks is looked for again.
            self.newest.mark_unchanged();
            match self.history.find(&mut self.position, PAGE, PAGE_BYTES) {
                Place::AtHand(page) if page.is_empty() => self.newest.changed().await.ok()?,
                Place::AtHand(page) => {
                    let last = page.last().map(|kept| kept.entry.id);
                    self.take(page, last);
                }
                Place::Index { .. } if self.has_missed() => return Some(Heard::Missed),
                Place::Index { index, until } => {
                    if let Err(error) = self.look_back(&index, until).await {
                        debug!("events cannot be read again: {error}");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// Whether events were taken away that would be next; once.
    fn has_missed(&mut self) -> bool {
        let pruned = self.history.pruned();
        let Position { after, told, .. } = &mut self.position;
        let has_missed = told.is_some_and(|told| told.max(*after) < pruned);
        if has_missed {
            *told = Some(pruned);
        }
        has_missed
    }

    /// Takes what `index` has after this position. Where that is nothing, what is at hand comes next, after the id `until`.
    async fn look_back(&mut self, index: &Index, until: i64) -> Result<(), Error> {
        let (entries, last) = index.after_id(self.position.after, PAGE, PAGE_BYTES).await?;
        let page = entries.into_iter().map(|entry| Arc::new(Kept::new(entry))).collect();
        self.take(page, last.or(Some(until)));
        Ok(())
    }

    /// Takes a page, which ends with the id `last`. That events were dropped is for all to know.
    fn take(&mut self, page: Vec<Arc<Kept>>, last: Option<i64>) {
        let after = &mut self.position.after;
        *after = last.unwrap_or(*after).max(*after);
        let filter = &self.filter;
        let is_wanted =
            |kept: &Arc<Kept>| kept.entry.kind == EventKind::Dropped || filter.wants(&kept.entry.by_ref());
        self.ready.extend(page.into_iter().filter(is_wanted));
    }
}
