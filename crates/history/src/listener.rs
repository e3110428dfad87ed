//! Live events from a given position on: a cursor over the events in memory, and over the index for older ones.
//!
//! A listener that is slow, or returns after a while, holds at most 32 KiB. It reads the index instead and misses no
//! event that is still stored. If events were deleted in between, the listener learns that it missed some.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use framecast_hub::EventKind;
use tokio::sync::watch;
use tracing::debug;

use crate::history::StoredEvent;
use crate::index::Index;
use crate::query::Filter;
use crate::{Error, History};

/// The most events to take at once.
const PAGE: usize = 64;

/// A page ends with the event that brings it to this many bytes. An event has at most 12 KiB, so a page has at most 28
/// KiB.
const PAGE_BYTES: usize = 16 << 10;

/// The wait after the index failed.
const RETRY: Duration = Duration::from_secs(1);

/// What a listener receives.
#[derive(Debug)]
pub enum Notification {
    /// An event.
    Event(Arc<StoredEvent>),
    /// Events before the next one were deleted; their number is not known.
    Missed,
}

/// The position of a listener.
#[derive(Debug)]
pub(crate) struct Position {
    /// The id of the last event that the listener has looked at.
    pub(crate) after: i64,
    /// The listener knows about deleted events up to this id. `None` if it asked for everything that is stored.
    reported: Option<i64>,
    /// The offset between current ids and those given at first, at the last look.
    id_offset: i64,
}

impl Position {
    pub(crate) fn new(after: i64, id_offset: i64) -> Self {
        // A listener that starts at the beginning asks for what is stored, and cannot miss anything.
        Self { after, reported: (after > 0).then_some(after), id_offset }
    }

    /// Keeps the same position after the ids have been raised by `id_offset` in all.
    pub(crate) fn follow(&mut self, id_offset: i64) {
        let by = id_offset - std::mem::replace(&mut self.id_offset, id_offset);
        self.after += by;
        self.reported = self.reported.map(|reported| reported + by);
    }
}

/// Where to get the events after a position.
pub(crate) enum PageSource {
    /// From memory.
    Memory(Vec<Arc<StoredEvent>>),
    /// From the index, which alone has the events up to the id `until`.
    Index { index: Index, until: i64 },
}

/// A position in the live events of a history.
#[derive(Debug)]
pub struct Listener {
    history: History,
    filter: Filter,
    position: Position,
    newest: watch::Receiver<i64>,
    ready: VecDeque<Arc<StoredEvent>>,
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

    /// The id of the last event that the listener has looked at, even if the filter dropped it. A client that
    /// reconnects may start from there.
    pub fn position(&self) -> i64 {
        self.ready.front().map_or(self.position.after, |stored| stored.entry.id - 1)
    }

    /// The next event. Cancel safe. `None` when the history is dropped.
    pub async fn next(&mut self) -> Option<Notification> {
        loop {
            if let Some(stored) = self.ready.pop_front() {
                return Some(Notification::Event(stored));
            }
            // Mark updates as seen before looking, so that a later one causes another look.
            self.newest.mark_unchanged();
            match self.history.find(&mut self.position, PAGE, PAGE_BYTES) {
                PageSource::Memory(page) if page.is_empty() => self.newest.changed().await.ok()?,
                PageSource::Memory(page) => {
                    let last = page.last().map(|stored| stored.entry.id);
                    self.take(page, last);
                }
                PageSource::Index { .. } if self.has_missed() => return Some(Notification::Missed),
                PageSource::Index { index, until } => {
                    if let Err(error) = self.read_back(&index, until).await {
                        debug!("cannot read events from the database: {error}");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// Whether the next events were deleted; true only once for each gap.
    fn has_missed(&mut self) -> bool {
        let pruned = self.history.pruned();
        let Position { after, reported, .. } = &mut self.position;
        let has_missed = reported.is_some_and(|reported| reported.max(*after) < pruned);
        if has_missed {
            *reported = Some(pruned);
        }
        has_missed
    }

    /// Reads events after this position from `index`. If there are none, continues in memory after the id `until`.
    async fn read_back(&mut self, index: &Index, until: i64) -> Result<(), Error> {
        let (entries, last) = index.after_id(self.position.after, PAGE, PAGE_BYTES).await?;
        let page = entries.into_iter().map(|entry| Arc::new(StoredEvent::new(entry))).collect();
        self.take(page, last.or(Some(until)));
        Ok(())
    }

    /// Takes a page that ends with the id `last`. Every listener gets the events about dropped events, whatever its
    /// filter.
    fn take(&mut self, page: Vec<Arc<StoredEvent>>, last: Option<i64>) {
        let after = &mut self.position.after;
        *after = last.unwrap_or(*after).max(*after);
        let filter = &self.filter;
        let is_wanted = |stored: &Arc<StoredEvent>| {
            stored.entry.kind == EventKind::Dropped || filter.wants(&stored.entry.by_ref())
        };
        self.ready.extend(page.into_iter().filter(is_wanted));
    }
}
