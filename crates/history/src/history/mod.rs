//! Takes events as they come: gives each its id, holds the newest in memory for listeners, and lets one task write them
//! to the index. That task also removes old events (`expiry.rs` decides which are too old, `timeline.rs` which times a
//! wrong clock stamped).
//!
//! [`History::record`] never waits. Events that are not written yet wait in a bounded queue. Events that do not fit are
//! dropped and counted, and an event of its own reports the count. While the database is unavailable the queue waits,
//! and the task retries it in order. A history may begin in memory if its database cannot be opened yet.

mod expiry;
mod home;
mod kept;
mod state;
mod timeline;
mod upkeep;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use framecast_hub::{Event, EventKind, EventReader, Told};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::edition::Editions;
use crate::entry::{Entry, millis};
use crate::index::{Claim, Displaced, Found, Gathered, Index, Location, Shift};
use crate::listener::{Place, Position};
use crate::{Error, Export, Key, Listener, Query};
use home::{Home, Opened};
pub use kept::Kept;
use kept::up_to;
use state::State;
use timeline::STEP_MS;
use upkeep::Upkeep;

/// The most events that wait for the database.
pub(crate) const QUEUE: usize = 10_000;

/// The most bytes of these events.
const QUEUE_BYTES: usize = 8 << 20;

/// The queue accepts marks only below this number of events, and of bytes.
const MARKS: usize = QUEUE / 4 * 3;
const MARKS_BYTES: usize = QUEUE_BYTES / 4 * 3;

/// The most written events that stay in memory for listeners, and their bytes.
const RECENT: usize = 1_000;
const RECENT_BYTES: usize = 1 << 20;

/// The most bytes to write, or to move from one index to another, in one go.
const BATCH_BYTES: usize = 1 << 20;

/// The most bytes of events in a page; a page has at least one event.
const PAGE_BYTES: usize = 512 << 10;

/// An hour in milliseconds. After the clock was set, and after a run began, this must pass before events are removed
/// for age.
const HOUR_MS: i64 = 3_600_000;

/// How many ids to claim at once: more than events can come before the next batch is written.
const RESERVE: i64 = 4 * QUEUE as i64;

/// Where events are stored, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The database.
    pub location: Location,
    /// The greatest age of an event; `None` keeps events for ever.
    pub max_age: Option<Duration>,
    /// The most events to keep; `None` for no limit.
    pub max_rows: Option<u64>,
}

/// The stored events of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    index: RwLock<Index>,
    clock: Arc<dyn Clock>,
    editions: Editions,
    state: Mutex<State>,
    /// Notifies the writer that there is something to write.
    work: Notify,
    /// The newest id.
    newest: watch::Sender<i64>,
    /// Notifies when all events are written.
    idle: Notify,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    recorded: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

/// Why the history did not take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// The queue for the database is full.
    #[error("the history's database is away, and as many events wait for it as may")]
    Full,
    /// The history is closed.
    #[error("the server ends")]
    Closed,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Events that were recorded.
    pub recorded: u64,
    /// Events that were written.
    pub written: u64,
    /// Events that did not fit and are lost.
    pub dropped: u64,
    /// Failed attempts to write.
    pub failures: u64,
    /// Events in the queue, and events in memory until their database can be opened.
    pub waiting: u64,
    /// Whether the database is unavailable.
    pub is_away: bool,
}

/// A recorded event, and a way to wait until it is written.
#[derive(Debug)]
pub struct Recorded {
    /// The event.
    pub kept: Arc<Kept>,
    written: oneshot::Receiver<()>,
}

impl Recorded {
    /// Waits until the event is in the index; false if that will never happen. Cancel safe.
    pub async fn written(&mut self) -> bool {
        (&mut self.written).await.is_ok()
    }
}

impl History {
    /// Opens the index and records the events of `events` from now on. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the database, and what to do about it.
    pub async fn open(settings: Settings, events: EventReader) -> Result<(Self, Tasks), Error> {
        Self::open_with_clock(settings, events, Arc::new(SystemClock)).await
    }

    /// As [`History::open`], with another clock than the machine's.
    ///
    /// # Errors
    /// As for [`History::open`].
    pub async fn open_with_clock(
        settings: Settings,
        events: EventReader,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Tasks), Error> {
        let opened = Index::open(&settings.location, Claim::now(RESERVE)).await?;
        Ok(Self::start(&settings, events, clock, opened, None))
    }

    /// Holds events in memory until the database of `settings` can be opened, and then moves them there. The first
    /// attempt is after 1 s, and each further one after twice the delay before, up to 30 s. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// A thread for it could not be started.
    pub async fn open_in_memory(settings: Settings, events: EventReader) -> Result<(Self, Tasks), Error> {
        Self::open_in_memory_with_clock(settings, events, Arc::new(SystemClock)).await
    }

    /// As [`History::open_in_memory`], with another clock than the machine's.
    ///
    /// # Errors
    /// As for [`History::open_in_memory`].
    pub async fn open_in_memory_with_clock(
        settings: Settings,
        events: EventReader,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Tasks), Error> {
        let opened = Index::open(&Location::Memory, Claim::now(RESERVE)).await?;
        let home = Home::new(settings.location.clone(), clock.now());
        Ok(Self::start(&settings, events, clock, opened, Some(home)))
    }

    fn start(
        settings: &Settings,
        events: EventReader,
        clock: Arc<dyn Clock>,
        (index, found): (Index, Found),
        home: Option<Home>,
    ) -> (Self, Tasks) {
        let now = clock.now();
        let upkeep = Upkeep::new(settings, &found, now);
        let reserved = found.reserved;
        let state = State::new(found, now, home.is_some());
        let shared = Shared {
            index: RwLock::new(index),
            clock,
            editions: Editions::default(),
            state: Mutex::new(state),
            work: Notify::new(),
            newest: watch::Sender::new(reserved),
            idle: Notify::new(),
            counts: Counts::default(),
        };
        let history = Self(Arc::new(shared));
        let (stop, stopped) = oneshot::channel();
        let reading = tokio::spawn(history.clone().read(events, stopped));
        let writing = tokio::spawn(writer::run(Arc::clone(&history.0), upkeep, home));
        let tasks = Tasks {
            history: history.clone(),
            stop: Some(stop),
            reading: Some(reading),
            writing: Some(writing),
        };
        (history, tasks)
    }

    /// Records the server's events until it is stopped and has read all of them.
    async fn read(self, mut events: EventReader, mut stopped: oneshot::Receiver<()>) {
        loop {
            let told = tokio::select! {
                biased;
                told = events.next() => told,
                _ = &mut stopped => return,
            };
            match told {
                // `record` counts the events that do not fit.
                Some(Told::Event(event)) => drop(self.record(self.0.told_now(event))),
                Some(Told::Missed(count)) => self.0.drop_events(count),
                None => return,
            }
        }
    }

    /// Gives `event` its id and puts it into the queue. Never waits.
    ///
    /// # Errors
    /// [`NotKept`] if the event does not fit; the event counts as dropped. The last quarter of the queue is for events
    /// of the cameras: a mark that would need it is refused. Its sender gets the error, so a refused mark does not
    /// count as dropped.
    pub fn record(&self, event: Event) -> Result<Recorded, NotKept> {
        self.0.record(event)
    }

    /// All events of `query` in `writer`'s format, as pieces of a response body. The export makes each piece when the
    /// client takes it.
    pub fn export<P>(&self, query: Query, writer: crate::table::Writer<P>) -> Export<P>
    where
        P: for<'a> crate::table::Page<crate::Row<'a>> + Send + 'static,
    {
        Export::new(self.index(), self.0.editions.clone(), query, writer)
    }

    /// At most `limit` events of `query` after `after`. If there are more, also the position after which they come. A
    /// page ends at 512 KiB, but has at least one event.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn page(
        &self,
        query: &Query,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<Key>), Error> {
        let sink = Gathered::up_to(PAGE_BYTES);
        let (gathered, filled) = self.index().fill(query, after, limit, sink).await;
        let filled = filled?;
        Ok((gathered.unwrap_or_default().entries, filled.last.filter(|_| !filled.is_end)))
    }

    /// Live events after the id `after`. Without an id, or after an id that this history never gave, events from now
    /// on: such an id is another history's.
    pub fn listen(&self, filter: crate::Filter, after: Option<i64>) -> Listener {
        let newest = self.0.newest.subscribe();
        let (last, shift, raised) = {
            let state = self.0.lock();
            // An event is in memory as soon as it has an id, even if listeners were not notified yet.
            (state.next_id - 1, state.shift, state.raised.clone())
        };
        let after = after.map(|after| if raised.contains(&after) { after + shift } else { after });
        let after = after.map_or(last, |after| after.min(last));
        Listener::new(self.clone(), filter, Position::new(after, shift), newest)
    }

    /// The names of all cameras that have stored events.
    pub fn cameras(&self) -> Vec<String> {
        self.0.lock().cameras.iter().cloned().collect()
    }

    /// The counts since the start.
    pub fn figures(&self) -> Figures {
        let Counts { recorded, written, dropped, failures } = &self.0.counts;
        let state = self.0.lock();
        Figures {
            recorded: recorded.load(Ordering::Relaxed),
            written: written.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
            waiting: state.waiting as u64 + state.homeless,
            is_away: state.is_away || state.is_homeless,
        }
    }

    /// Whether events are in memory until their database can be opened.
    pub fn is_homeless(&self) -> bool {
        self.0.lock().is_homeless
    }

    /// Waits until all recorded events are written, or the history is closed.
    pub async fn written(&self) {
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

    /// Where to get `limit` events after `position`, or fewer if those have `max_bytes`. If ids have been raised since
    /// the last call, raises the position too.
    pub(crate) fn find(&self, position: &mut Position, limit: usize, max_bytes: usize) -> Place {
        let state = self.0.lock();
        position.follow(state.shift);
        let after = position.after;
        if after < state.before_recent {
            // Under the lock, because the index and its ids change together.
            return Place::Index { index: self.index(), until: state.before_recent };
        }
        let begin = state.recent.partition_point(|kept| kept.entry.id <= after);
        Place::AtHand(up_to(max_bytes, state.recent.range(begin..).take(limit)).cloned().collect())
    }

    /// The highest id of the removed events.
    pub(crate) fn pruned(&self) -> i64 {
        self.0.lock().pruned
    }
}

/// The background tasks of a history. They run until it is closed or this is dropped.
#[derive(Debug)]
pub struct Tasks {
    history: History,
    stop: Option<oneshot::Sender<()>>,
    reading: Option<JoinHandle<()>>,
    writing: Option<JoinHandle<()>>,
}

impl Tasks {
    /// Closes the history after everything is written, or as soon as the database does not accept more. Later events
    /// are not stored.
    pub async fn close(mut self) {
        self.stop = None;
        // A task that panicked has logged it.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`History::record`].
    fn record(&self, event: Event) -> Result<Recorded, NotKept> {
        let is_mark = event.kind == EventKind::Mark;
        let now = self.clock.now();
        let (recorded, given) = {
            let mut state = self.lock();
            let before = state.next_id;
            (state.record(event, now), state.next_id - before)
        };
        self.counts.recorded.fetch_add(given.unsigned_abs(), Ordering::Relaxed);
        match &recorded {
            Ok(recorded) => self.tell(recorded.kept.entry.id),
            Err(_) if is_mark => {}
            Err(_) => {
                self.counts.recorded.fetch_add(1, Ordering::Relaxed);
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        recorded
    }

    /// The server sends its events at once, so none can be in the future. If one is, a clock that was ahead for a
    /// moment stamped it, and the event gets the current time.
    fn told_now(&self, mut event: Event) -> Event {
        let wall_ms = self.clock.now().wall_ms;
        if millis(event.at).saturating_sub(wall_ms) >= STEP_MS {
            event.at = UNIX_EPOCH + Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0));
        }
        event
    }

    fn index(&self) -> Index {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Continues in `index`, which has all events now. The index knows of the shifts `planned`. For `unused` see
    /// [`State::raise`].
    fn go_on_in(&self, opened: Opened, planned: &[Shift], unused: i64) {
        let Opened { index, found, shift, count, .. } = opened;
        let now = self.clock.now();
        let (newest, told) = {
            let mut state = self.lock();
            state.raise(shift, unused);
            state.timeline.go_on_with(found.shifts, shift);
            state.timeline.planned(planned);
            state.cameras.extend(found.cameras);
            state.pruned = state.pruned.max(found.pruned);
            (state.is_homeless, state.homeless) = (false, 0);
            *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
            // Under the lock: a caller that sees the events in the index may close the history.
            let told = state.record_dropped(now);
            (state.next_id - 1, told)
        };
        self.counts.written.fetch_add(count, Ordering::Relaxed);
        self.counts.recorded.fetch_add(u64::from(told.is_some()), Ordering::Relaxed);
        self.tell(newest);
    }

    /// The first `count` events of the queue are in the index, which removed those of `displaced` to make room.
    fn written(&self, count: usize, displaced: Displaced) {
        let mut state = self.lock();
        state.written(count);
        state.pruned = state.pruned.max(displaced.up_to);
        if state.is_homeless {
            // Evicted events are reported once the database can be opened.
            state.homeless = (state.homeless + count as u64).saturating_sub(displaced.lost);
            state.untold += displaced.lost;
            self.counts.dropped.fetch_add(displaced.lost, Ordering::Relaxed);
        } else {
            self.counts.written.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Notifies the listeners and the writer of the event `id`.
    fn tell(&self, id: i64) {
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

    /// Counts events that were lost before they came here.
    fn drop_events(&self, count: u64) {
        self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        self.lock().untold += count;
        self.tell_dropped();
    }

    /// Records an event with the number of dropped events, if it fits.
    fn tell_dropped(&self) {
        let now = self.clock.now();
        let told = self.lock().record_dropped(now);
        if let Some(id) = told {
            self.counts.recorded.fetch_add(1, Ordering::Relaxed);
            self.tell(id);
        }
    }
}
