//! A [`Listener`] returns live events, beginning after a given event id. It reads the newest events from memory, and
//! older events from the index (the database).
//!
//! A listener buffers at most 32 KiB. If its caller is slow, or continues after a pause, the listener reads from the
//! index instead of buffering more. So a listener misses no event that is still stored. If events were deleted before
//! the listener read them, it reports that some are missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use framecast_hub::EventKind;
use tokio::sync::watch;
use tracing::debug;

use super::{History, StoredEvent};
use crate::Error;
use crate::index::{BlockLimit, BlockSize, Index};
use crate::query::Filter;

/// The maximum number of events that a listener reads at once (a page).
const PAGE: usize = 64;

/// A page, the events that a listener reads at once, ends with the event that brings its size to this many bytes. An
/// event has at most 12 KiB, so a page has at most 28 KiB.
const PAGE_BYTES: usize = 16 << 10;

/// The pause after a failed attempt to read events from the database.
const RETRY: Duration = Duration::from_secs(1);

/// What a listener returns to its caller.
#[derive(Debug)]
pub enum Notification {
    /// The next event, in the order of ids.
    Event(Arc<StoredEvent>),
    /// Some events were deleted before the listener read them, so the caller never gets them. Their number is unknown.
    /// Their ids are lower than the id of the next event that the listener returns.
    Missed,
}

/// The position of a listener in the sequence of event ids.
#[derive(Debug)]
pub(crate) struct Position {
    /// The id of the last event that the listener has read.
    pub(crate) after: i64,
    /// The listener does not report deleted events up to this id, because it has reported them already or because it
    /// began after them. `None` if the listener began with the oldest stored event, and so cannot miss any.
    reported: Option<i64>,
    /// By how much the history had raised all event ids when the listener last read from the history. Ids are raised
    /// when events move from memory to a database that has already assigned the same ids.
    id_offset: i64,
}

impl Position {
    pub(crate) fn new(after: i64, id_offset: i64) -> Self {
        // A listener that starts at the beginning asks for what is stored, and cannot miss anything.
        Self { after, reported: (after > 0).then_some(after), id_offset }
    }

    /// Raises the position by as much as the history has raised its event ids since the last call. `id_offset` is by
    /// how much they were raised in total since the history began.
    pub(crate) fn follow(&mut self, id_offset: i64) {
        let by = id_offset - std::mem::replace(&mut self.id_offset, id_offset);
        self.after += by;
        self.reported = self.reported.map(|reported| reported + by);
    }
}

/// Where to read the events that follow a listener's position.
pub(crate) enum PageSource {
    /// In memory: these are the next events.
    Memory(Vec<Arc<StoredEvent>>),
    /// In the index (the database). Memory has only events with ids above `until`.
    Index { index: Index, until: i64 },
}

/// Returns those live events of a history that a filter selects, one after another.
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

    /// Returns the id after which a client that reconnects can continue: that of the last event that was returned to
    /// the caller or rejected by the filter.
    pub fn position(&self) -> i64 {
        self.ready.front().map_or(self.position.after, |stored| stored.entry.id - 1)
    }

    /// Waits for the next event, or the next report of missed events, and returns it. Returns `None` once the history
    /// is dropped. Cancel safe.
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

    /// Returns whether events that the listener should return next were deleted. Returns true only once for each gap.
    fn has_missed(&mut self) -> bool {
        let pruned = self.history.pruned();
        let Position { after, reported, .. } = &mut self.position;
        let has_missed = reported.is_some_and(|reported| reported.max(*after) < pruned);
        if has_missed {
            *reported = Some(pruned);
        }
        has_missed
    }

    /// Reads events after the listener's position from `index`. If there are none, sets the position to the id `until`,
    /// after which events are in memory.
    async fn read_back(&mut self, index: &Index, until: i64) -> Result<(), Error> {
        let limit = BlockLimit { rows: PAGE, size: BlockSize::Entries(PAGE_BYTES) };
        let block = index.after_id(self.position.after, limit).await?;
        let page = block.entries().into_iter().map(|entry| Arc::new(StoredEvent::new(entry))).collect();
        self.take(page, block.last().map(|key| key.id).or(Some(until)));
        Ok(())
    }

    /// Queues those events of `page` that the filter selects, and sets the position to `last`, the id of the last event
    /// that was read. Also queues events of the kind `Dropped`, whatever the filter selects, because they report lost
    /// events.
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
