//! A [`Listener`] returns live events from a given position on. It reads the newest events from memory, and older
//! events from the index.
//!
//! A slow listener, or one that continues after a pause, holds at most 32 KiB: it reads from the index instead of
//! buffering more. So a listener misses no event that is still stored. If events were deleted in between, the listener
//! is told that it missed some.

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

/// The maximum number of events that a listener reads at once.
const PAGE: usize = 64;

/// A page ends with the event that brings its size to this many bytes. An event has at most 12 KiB, so a page has at
/// most 28 KiB.
const PAGE_BYTES: usize = 16 << 10;

/// The pause before the next attempt after a read of the index failed.
const RETRY: Duration = Duration::from_secs(1);

/// What a listener returns.
#[derive(Debug)]
pub enum Notification {
    /// An event.
    Event(Arc<StoredEvent>),
    /// Events before the next notification were deleted, and the listener missed them. Their number is unknown.
    Missed,
}

/// The position of a listener in the sequence of event ids.
#[derive(Debug)]
pub(crate) struct Position {
    /// The id of the last event that the listener has looked at.
    pub(crate) after: i64,
    /// The listener needs no report about deleted events up to this id: they were reported, or come before its start.
    /// `None` if the listener asked for everything that is stored, and so cannot miss an event.
    reported: Option<i64>,
    /// By how much the history had raised all ids when the listener last read from it. Ids are raised when events move
    /// to a database that has assigned ids as high before.
    id_offset: i64,
}

impl Position {
    pub(crate) fn new(after: i64, id_offset: i64) -> Self {
        // A listener that starts at the beginning asks for what is stored, and cannot miss anything.
        Self { after, reported: (after > 0).then_some(after), id_offset }
    }

    /// Adjusts the position after the history has raised its ids. `id_offset` is the sum of all raises since the start.
    pub(crate) fn follow(&mut self, id_offset: i64) {
        let by = id_offset - std::mem::replace(&mut self.id_offset, id_offset);
        self.after += by;
        self.reported = self.reported.map(|reported| reported + by);
    }
}

/// Where to read the events after a position.
pub(crate) enum PageSource {
    /// Memory: the events themselves.
    Memory(Vec<Arc<StoredEvent>>),
    /// The index. Events with ids up to `until` are only there.
    Index { index: Index, until: i64 },
}

/// Returns the live events of a history that a filter selects, one after another.
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

    /// Returns the id of the last event that the listener has looked at, even if the filter rejected that event. A
    /// client that reconnects can continue after this id.
    pub fn position(&self) -> i64 {
        self.ready.front().map_or(self.position.after, |stored| stored.entry.id - 1)
    }

    /// Waits for the next notification. Returns `None` once the history is dropped. Cancel safe.
    pub async fn next(&mut self) -> Option<Notification> {
        loop {
            if let Some(stored) = self.ready.pop_front() {
                return Some(Notification::Event(stored));
            }
            // Mark updates as seen before looking, so that a later update causes another look.
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

    /// Returns whether the next events were deleted. Returns true only once for each gap.
    fn has_missed(&mut self) -> bool {
        let pruned = self.history.pruned();
        let Position { after, reported, .. } = &mut self.position;
        let has_missed = reported.is_some_and(|reported| reported.max(*after) < pruned);
        if has_missed {
            *reported = Some(pruned);
        }
        has_missed
    }

    /// Reads events after the listener's position from `index`. If there are none, the listener continues in memory
    /// after the id `until`.
    async fn read_back(&mut self, index: &Index, until: i64) -> Result<(), Error> {
        let (entries, last) = index.after_id(self.position.after, PAGE, PAGE_BYTES).await?;
        let page = entries.into_iter().map(|entry| Arc::new(StoredEvent::new(entry))).collect();
        self.take(page, last.or(Some(until)));
        Ok(())
    }

    /// Queues the wanted events of a page that ends with the id `last`. Whatever its filter, a listener returns the
    /// events of the kind `Dropped`, which report lost events.
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
