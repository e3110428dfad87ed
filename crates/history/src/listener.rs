//! Events as they happen, from a place on: a cursor over what is at hand, and over the index for what is not any more.
//!
//! A listener that is slow, or comes back after a while, costs no memory: it falls back to the index, misses nothing that is
//! kept, and is told where something is not kept any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use framecast_hub::EventKind;
use tokio::sync::watch;
use tracing::debug;

use crate::history::Kept;
use crate::query::Filter;
use crate::{Error, History};

/// How many events are taken at once.
const PAGE: usize = 500;

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

/// A position in the events of a history.
#[derive(Debug)]
pub struct Listener {
    history: History,
    filter: Filter,
    after: i64,
    /// The id up to which nothing, or what is missing, was told; `None` where all that there is was asked for.
    told: Option<i64>,
    newest: watch::Receiver<i64>,
    ready: VecDeque<Arc<Kept>>,
}

impl Listener {
    pub(crate) fn new(history: History, filter: Filter, after: i64, newest: watch::Receiver<i64>) -> Self {
        // From the beginning on is from what there is.
        let told = (after > 0).then_some(after);
        Self { history, filter, after, told, newest, ready: VecDeque::new() }
    }

    /// The id of the last event that it has looked at, wanted or not: where one that comes back may begin.
    pub fn position(&self) -> i64 {
        self.ready.front().map_or(self.after, |kept| kept.entry.id - 1)
    }

    /// What it hears next. Cancel safe. `None` when the history is gone.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(kept) = self.ready.pop_front() {
                return Some(Heard::Event(kept));
            }
            // Marked as seen first: what comes while this looks is looked for again.
            self.newest.mark_unchanged();
            match self.history.recent_after(self.after, PAGE) {
                Some(page) if page.is_empty() => self.newest.changed().await.ok()?,
                Some(page) => {
                    let last = page.last().map(|kept| kept.entry.id);
                    self.take(page, last);
                }
                None if self.has_missed() => return Some(Heard::Missed),
                None => {
                    if let Err(error) = self.look_back().await {
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
        let has_missed = self.told.is_some_and(|told| self.after.max(told) < pruned);
        if has_missed {
            self.told = Some(pruned);
        }
        has_missed
    }

    /// Takes what the index has after this position. Where that is nothing, what is at hand comes next.
    async fn look_back(&mut self) -> Result<(), Error> {
        let until = self.history.before_recent();
        let (entries, last) = self.history.index().after_id(self.after, PAGE).await?;
        let page = entries.into_iter().map(|entry| Arc::new(Kept::new(entry))).collect();
        self.take(page, last.or(Some(until)));
        Ok(())
    }

    /// Takes a page, which ends with the id `last`. That events were dropped is for all to know.
    fn take(&mut self, page: Vec<Arc<Kept>>, last: Option<i64>) {
        self.after = last.unwrap_or(self.after).max(self.after);
        let filter = &self.filter;
        let is_wanted =
            |kept: &Arc<Kept>| kept.entry.kind == EventKind::Dropped || filter.wants(&kept.entry.by_ref());
        self.ready.extend(page.into_iter().filter(is_wanted));
    }
}
