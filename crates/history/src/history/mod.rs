//! Receives events: assigns each event an id, keeps the newest events in memory for listeners, and lets one task write
//! the events to the index, which is the database. That task also removes old events (`expiry.rs` decides which are too
//! old) and corrects the times that a wrong clock stamped (`timeline.rs` decides which).
//!
//! [`History::record`] never waits: each event goes into a bounded queue, where it stays until it is in the database.
//! Events that do not fit into the queue are dropped and counted, and a separate event reports the count. While the
//! database is unavailable, the task retries to write the queued events in order. If the database cannot be opened when
//! the server starts, a history can begin in memory.

mod availability;
mod expiry;
mod listener;
mod maintenance;
mod relocation;
mod state;
mod stored_event;
mod timeline;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use framecast_hub::{Event, EventKind, EventReader, Received};
use framecast_media::{lock, unpoisoned};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::entry::{Entry, millis};
use crate::index::{BlockLimit, BlockSize, Evicted, IdClaim, Index, IndexState, Location, TimeCorrection};
use crate::revision::Revisions;
use crate::{Error, Key, Query, Rows};
pub use listener::{Listener, Notification};
use listener::{PageSource, Position};
use maintenance::Maintenance;
use relocation::{Destination, Relocation};
use state::State;
pub use stored_event::StoredEvent;
use stored_event::up_to;
use timeline::STEP_MS;

/// The maximum number of events in the queue for the database.
pub(crate) const MAX_QUEUED: usize = 10_000;

/// The maximum size of the events in the queue for the database, in bytes.
const MAX_QUEUED_BYTES: usize = 8 << 20;

/// The queue for the database accepts an event that a person or a program set (a mark) only while it has fewer events
/// than this, and fewer bytes than `MARK_QUEUE_LIMIT_BYTES`. The rest of the queue is for the cameras' events.
const MARK_QUEUE_LIMIT: usize = MAX_QUEUED / 4 * 3;
const MARK_QUEUE_LIMIT_BYTES: usize = MAX_QUEUED_BYTES / 4 * 3;

/// The maximum number of events that stay in memory for listeners after they were written to the database.
/// `MAX_RECENT_BYTES` is the maximum size of these events.
const MAX_RECENT: usize = 1_000;
const MAX_RECENT_BYTES: usize = 1 << 20;

/// The maximum size of the events to write in one step, or to move in one step from memory to the database, in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// A page, the events that one call reads, ends when it reaches this size in bytes. It has at least one event.
const PAGE_BYTES: usize = 512 << 10;

/// An hour in milliseconds. No event is removed for its age in the first hour of a run of the server, or in the hour
/// after somebody set the clock.
const HOUR_MS: i64 = 3_600_000;

/// The number of event ids to reserve in the database at once: more than can be assigned before the next write reserves
/// more.
const ID_BLOCK: i64 = 4 * MAX_QUEUED as i64;

/// Where events are stored, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The database that stores the events.
    pub location: Location,
    /// The maximum age of an event; `None` keeps events forever.
    pub max_age: Option<Duration>,
    /// The maximum number of events to keep; `None` for no limit.
    pub max_rows: Option<u64>,
}

/// The history of a server: records events, stores them and returns them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    index: RwLock<Index>,
    clock: Arc<dyn Clock>,
    revisions: Revisions,
    state: Mutex<State>,
    /// Wakes the task that writes to the database when there is something to write.
    work: Notify,
    /// The id of the newest event. A change of this value wakes the listeners that wait for new events.
    newest: watch::Sender<i64>,
    /// Wakes the callers that wait until all events are in the database.
    idle: Notify,
    counts: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    recorded: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

/// Why the history did not record an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The queue for the database has no room for the event.
    #[error("the history's database is unavailable, and the queue of waiting events is full")]
    Full,
    /// The history is closed.
    #[error("the server is shutting down")]
    Closed,
}

/// The history's counts since the server started, and whether the history's database is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HistoryStats {
    /// The number of events that got an id, plus those that were dropped because the queue for the database was full.
    pub recorded: u64,
    /// The number of events that were written to the database.
    pub written: u64,
    /// The number of events that were lost because there was no room for them in a queue or in memory.
    pub dropped: u64,
    /// The number of failed attempts to write to the database.
    pub failures: u64,
    /// The number of events that are not in the database yet: those in the queue, and those kept in memory because the
    /// database cannot be opened yet.
    pub waiting: u64,
    /// Whether the history's database is unavailable.
    pub is_unavailable: bool,
}

/// A recorded event, and a way to wait until the event is in the database.
#[derive(Debug)]
pub struct RecordedEvent {
    /// The recorded event with its id.
    pub stored: Arc<StoredEvent>,
    written: oneshot::Receiver<()>,
}

impl RecordedEvent {
    /// Waits until the event is in the database, or in memory if the database cannot be opened yet. Returns false if
    /// the event will never be there. Cancel safe.
    pub async fn written(&mut self) -> bool {
        (&mut self.written).await.is_ok()
    }
}

impl History {
    /// Opens the database of `config`, and records the events that `events` receives from now on. Must be called within
    /// a Tokio runtime.
    ///
    /// # Errors
    /// An error that says what is wrong with the database, and what to do about it.
    pub async fn open(config: Config, events: EventReader) -> Result<(Self, Tasks), Error> {
        Self::open_with_clock(config, events, Arc::new(SystemClock)).await
    }

    /// Does the same as [`History::open`], with `clock` instead of the machine's clocks.
    ///
    /// # Errors
    /// The same as for [`History::open`].
    pub async fn open_with_clock(
        config: Config,
        events: EventReader,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Tasks), Error> {
        let opened = Index::open(&config.location, IdClaim::now(ID_BLOCK)).await?;
        Ok(Self::start(&config, events, clock, opened, None))
    }

    /// Starts a history that keeps events in memory until the database of `config` can be opened, and then moves the
    /// events to the database. Tries to open the database for the first time after 1 s. The delay doubles after each
    /// failed attempt, up to 30 s. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// An error if a thread for the events in memory could not be started.
    pub async fn open_in_memory(config: Config, events: EventReader) -> Result<(Self, Tasks), Error> {
        Self::open_in_memory_with_clock(config, events, Arc::new(SystemClock)).await
    }

    /// Does the same as [`History::open_in_memory`], with `clock` instead of the machine's clocks.
    ///
    /// # Errors
    /// The same as for [`History::open_in_memory`].
    pub async fn open_in_memory_with_clock(
        config: Config,
        events: EventReader,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Tasks), Error> {
        let opened = Index::open(&Location::Memory, IdClaim::now(ID_BLOCK)).await?;
        let relocation = Relocation::new(config.location.clone(), clock.now());
        Ok(Self::start(&config, events, clock, opened, Some(relocation)))
    }

    fn start(
        config: &Config,
        events: EventReader,
        clock: Arc<dyn Clock>,
        (index, index_state): (Index, IndexState),
        relocation: Option<Relocation>,
    ) -> (Self, Tasks) {
        let now = clock.now();
        let maintenance = Maintenance::new(config, &index_state, now);
        let reserved = index_state.reserved;
        let state = State::new(index_state, now, relocation.is_some());
        let shared = Shared {
            index: RwLock::new(index),
            clock,
            revisions: Revisions::default(),
            state: Mutex::new(state),
            work: Notify::new(),
            newest: watch::Sender::new(reserved),
            idle: Notify::new(),
            counts: Counters::default(),
        };
        let history = Self(Arc::new(shared));
        let (stop, stopped) = oneshot::channel();
        let reading = tokio::spawn(history.clone().read(events, stopped));
        let writing = tokio::spawn(writer::run(Arc::clone(&history.0), maintenance, relocation));
        let tasks = Tasks {
            history: history.clone(),
            stop: Some(stop),
            reading: Some(reading),
            writing: Some(writing),
        };
        (history, tasks)
    }

    /// Records the events that `events` receives, until `stopped` is signalled and all events received before that are
    /// recorded.
    async fn read(self, mut events: EventReader, mut stopped: oneshot::Receiver<()>) {
        loop {
            let received = tokio::select! {
                biased;
                received = events.next() => received,
                _ = &mut stopped => return,
            };
            match received {
                // `record` counts the events that do not fit.
                Some(Received::Event(event)) => drop(self.record(self.0.clamp_to_now(event))),
                Some(Received::Missed(count)) => self.0.count_dropped(count),
                None => return,
            }
        }
    }

    /// Assigns an id to `event` and puts the event into the queue for the database. Never waits.
    ///
    /// # Errors
    /// [`RecordError`] if the queue has no room for the event, or if the history is closed. Each event that gets an
    /// error raises [`HistoryStats::dropped`] by one, except a mark (an event that a person or a program set), because
    /// the mark's sender gets the error. Marks cannot use the last quarter of the queue, which is for events of the
    /// cameras.
    pub fn record(&self, event: Event) -> Result<RecordedEvent, RecordError> {
        self.0.record(event)
    }

    /// Returns all events that `query` selects, as a stream of rows for a [`Table`](crate::table::Table). The stream reads
    /// from the database only what its reader asks for.
    pub fn rows(&self, query: Query) -> Rows {
        Rows::new(self.index(), self.0.revisions.clone(), query)
    }

    /// Returns at most `limit` of the events that `query` selects, beginning after the position `after`. If more events
    /// follow, also returns the position of the last returned event, from which the next call can continue. Stops at a
    /// total size of 512 KiB, but returns at least one event if there is one.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn page(
        &self,
        query: &Query,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<Key>), Error> {
        let limit = BlockLimit { rows: limit, size: BlockSize::Entries(PAGE_BYTES) };
        let block = self.index().read(query, after, limit).await?;
        Ok((block.entries(), block.next()))
    }

    /// Returns a listener for live events whose ids are higher than `after`. If `after` is `None`, the listener begins
    /// with the next event. It also does so if this history has not assigned the id `after` yet, because that id must
    /// come from another history.
    pub fn listen(&self, filter: crate::Filter, after: Option<i64>) -> Listener {
        let newest = self.0.newest.subscribe();
        let (last, id_offset, raised) = {
            let state = self.0.lock();
            // An event is in memory as soon as it has an id, even if listeners were not notified yet.
            (state.next_id - 1, state.id_offset, state.raised.clone())
        };
        let after = after.map(|after| if raised.contains(&after) { after + id_offset } else { after });
        let after = after.map_or(last, |after| after.min(last));
        Listener::new(self.clone(), filter, Position::new(after, id_offset), newest)
    }

    /// Returns the names of all cameras that have stored events.
    pub fn cameras(&self) -> Vec<String> {
        self.0.lock().cameras.iter().cloned().collect()
    }

    /// Returns the history's counts since its start.
    pub fn stats(&self) -> HistoryStats {
        let Counters { recorded, written, dropped, failures } = &self.0.counts;
        let state = self.0.lock();
        HistoryStats {
            recorded: recorded.load(Ordering::Relaxed),
            written: written.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
            waiting: state.waiting as u64 + state.in_memory_count,
            is_unavailable: state.is_unavailable || state.is_in_memory,
        }
    }

    /// Returns whether events are kept in memory because their database cannot be opened yet.
    pub fn is_in_memory(&self) -> bool {
        self.0.lock().is_in_memory
    }

    /// Waits until the queue of events to write is empty, or the history is closed.
    pub async fn flushed(&self) {
        loop {
            let idle = self.0.idle.notified();
            {
                let state = self.0.lock();
                if state.waiting == 0 || state.is_closed {
                    return;
                }
            }
            idle.await;
        }
    }

    pub(crate) fn index(&self) -> Index {
        self.0.index()
    }

    /// Returns the source of the next events after `position`: the events themselves if they are in memory, otherwise
    /// the database. Returns at most `limit` events, and stops when their total size reaches `max_bytes`. Event ids are
    /// raised when events move to a database that has already assigned the same ids. If ids were raised since the last
    /// call, raises `position` by as much.
    pub(crate) fn find(&self, position: &mut Position, limit: usize, max_bytes: usize) -> PageSource {
        let state = self.0.lock();
        position.follow(state.id_offset);
        let after = position.after;
        if after < state.before_recent {
            // Done under the lock, because the index and its ids change together.
            return PageSource::Index { index: self.index(), until: state.before_recent };
        }
        let begin = state.recent.partition_point(|stored| stored.entry.id <= after);
        PageSource::Memory(up_to(max_bytes, state.recent.range(begin..).take(limit)).cloned().collect())
    }

    /// Returns the highest id of all events that were removed from the history.
    pub(crate) fn pruned(&self) -> i64 {
        self.0.lock().pruned
    }
}

/// The background tasks of a history. They run until the history is closed or this value is dropped.
#[derive(Debug)]
pub struct Tasks {
    history: History,
    stop: Option<oneshot::Sender<()>>,
    reading: Option<JoinHandle<()>>,
    writing: Option<JoinHandle<()>>,
}

impl Tasks {
    /// Closes the history once all recorded events are in the database, or once the database refuses to store an event.
    /// Events that are recorded later are not stored.
    pub async fn close(mut self) {
        self.stop = None;
        // The panic of a task has been logged already.
        if let Some(reading) = self.reading.take() {
            reading.await.ok();
        }
        self.history.0.close();
        if let Some(writing) = self.writing.take() {
            writing.await.ok();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.history.0.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Does the work of [`History::record`].
    fn record(&self, event: Event) -> Result<RecordedEvent, RecordError> {
        let is_mark = event.kind == EventKind::Mark;
        let now = self.clock.now();
        let (recorded, given) = {
            let mut state = self.lock();
            let before = state.next_id;
            (state.record(event, now), state.next_id - before)
        };
        self.counts.recorded.fetch_add(given.unsigned_abs(), Ordering::Relaxed);
        match &recorded {
            Ok(recorded) => self.notify(recorded.stored.entry.id),
            Err(_) if is_mark => {}
            Err(_) => {
                self.counts.recorded.fetch_add(1, Ordering::Relaxed);
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        recorded
    }

    /// Returns `event`, with the current time if its own time is a minute or more in the future. The server records its
    /// events as soon as they happen, so a clock that was ahead for a moment must have stamped such an event.
    fn clamp_to_now(&self, mut event: Event) -> Event {
        let wall_ms = self.clock.now().wall_ms;
        if millis(event.at).saturating_sub(wall_ms) >= STEP_MS {
            event.at = UNIX_EPOCH + Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0));
        }
        event
    }

    fn index(&self) -> Index {
        unpoisoned(self.index.read()).clone()
    }

    /// Makes the database of `destination` the history's database. That database already has all events that were in
    /// memory, and the time corrections `planned`, which are still to be applied to events. For `unused` see
    /// [`State::raise`].
    fn continue_in(&self, destination: Destination, planned: &[TimeCorrection], unused: i64) {
        let Destination { index, index_state, id_offset, count, .. } = destination;
        let now = self.clock.now();
        let (newest, dropped_id) = {
            let mut state = self.lock();
            state.raise(id_offset, unused);
            state.timeline.continue_with(index_state.shifts, id_offset);
            state.timeline.planned(planned);
            state.cameras.extend(index_state.cameras);
            state.pruned = state.pruned.max(index_state.pruned);
            (state.is_in_memory, state.in_memory_count) = (false, 0);
            *unpoisoned(self.index.write()) = index;
            // Done under the lock, because a caller that sees the events in the index might close the history.
            let dropped_id = state.record_dropped(now);
            (state.next_id - 1, dropped_id)
        };
        self.counts.written.fetch_add(count, Ordering::Relaxed);
        self.counts.recorded.fetch_add(u64::from(dropped_id.is_some()), Ordering::Relaxed);
        self.notify(newest);
    }

    /// Updates the state after the first `count` events of the queue were written to the index. `evicted` describes
    /// the events that an index in memory removed to make room.
    fn written(&self, count: usize, evicted: Evicted) {
        let mut state = self.lock();
        state.written(count);
        state.pruned = state.pruned.max(evicted.up_to);
        if state.is_in_memory {
            // Evicted events are reported once the database can be opened.
            state.in_memory_count = (state.in_memory_count + count as u64).saturating_sub(evicted.lost);
            state.unreported += evicted.lost;
            self.counts.dropped.fetch_add(evicted.lost, Ordering::Relaxed);
        } else {
            self.counts.written.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Tells the listeners, and the task that writes to the database, about the new event with the id `id`.
    fn notify(&self, id: i64) {
        self.newest.send_if_modified(|newest| {
            let is_newer = id > *newest;
            *newest = id.max(*newest);
            is_newer
        });
        self.work.notify_one();
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
        self.idle.notify_waiters();
    }

    /// Adds `count` to [`HistoryStats::dropped`], for events that were lost before the history received them.
    fn count_dropped(&self, count: u64) {
        self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        self.lock().unreported += count;
        self.report_dropped();
    }

    /// Records an event that tells how many events were dropped, if the queue has room.
    fn report_dropped(&self) {
        let now = self.clock.now();
        let dropped_id = self.lock().record_dropped(now);
        if let Some(id) = dropped_id {
            self.counts.recorded.fetch_add(1, Ordering::Relaxed);
            self.notify(id);
        }
    }
}
