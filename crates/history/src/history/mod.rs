//! Events as they come: each gets its id, is at hand for who listens, and is written to the index by one task, which also
//! takes away what is not kept (`expiry.rs` decides what is too old, `timeline.rs` which times were stamped by a wrong clock).
//!
//! [`History::record`] never waits: what is not written yet stands in a bounded queue, and what finds it full is counted
//! and told by an event of its own. While the database is away the queue waits; it is tried again, in order. A history may
//! begin in memory, where its place cannot be written yet.

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

/// How many events wait for the database at most.
pub(crate) const QUEUE: usize = 10_000;

/// How many bytes these have at most.
const QUEUE_BYTES: usize = 8 << 20;

/// How many may wait before a mark finds no place more, and how many bytes they may have.
const MARKS: usize = QUEUE / 4 * 3;
const MARKS_BYTES: usize = QUEUE_BYTES / 4 * 3;

/// How many events that are written stay at hand for who listens, and how many bytes they have at most.
const RECENT: usize = 1_000;
const RECENT_BYTES: usize = 1 << 20;

/// How many bytes are written, or brought from one place to another, in one go.
const BATCH_BYTES: usize = 1 << 20;

/// How many bytes of events a page has at most, or one event.
const PAGE_BYTES: usize = 512 << 10;

/// An hour in milliseconds: how long a clock that was set, or a run that began, must last before anything goes for its age.
const HOUR_MS: i64 = 3_600_000;

/// How many ids are taken at once: more than can be given before the next batch is written.
const RESERVE: i64 = 4 * QUEUE as i64;

/// What is kept, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where.
    pub location: Location,
    /// How old events become; `None` keeps them for ever.
    pub max_age: Option<Duration>,
    /// How many there are at most; `None` for any number.
    pub max_rows: Option<u64>,
}

/// Events of a server, kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    index: RwLock<Index>,
    clock: Arc<dyn Clock>,
    editions: Editions,
    state: Mutex<State>,
    /// Rings when there is something to write.
    work: Notify,
    /// The newest id.
    newest: watch::Sender<i64>,
    /// Rings when all is written.
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

/// Why an event is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// As many wait for the database as may.
    #[error("the history's database is away, and as many events wait for it as may")]
    Full,
    /// The history is closed.
    #[error("the server ends")]
    Closed,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Events that came.
    pub recorded: u64,
    /// Those that were written.
    pub written: u64,
    /// Those that found no place and are lost.
    pub dropped: u64,
    /// Failed attempts to write.
    pub failures: u64,
    /// Those that wait, and those that are in memory until their place can be written.
    pub waiting: u64,
    /// Whether the database is away.
    pub is_away: bool,
}

/// An event that was recorded, and word of when it is written.
#[derive(Debug)]
pub struct Recorded {
    /// The event.
    pub kept: Arc<Kept>,
    written: oneshot::Receiver<()>,
}

impl Recorded {
    /// Waits until it is in the index; false when it will not get there. Cancel safe.
    pub async fn written(&mut self) -> bool {
        (&mut self.written).await.is_ok()
    }
}

impl History {
    /// Opens the index, and writes to it what `events` tells from now on. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the place, and what to do.
    pub async fn open(settings: Settings, events: EventReader) -> Result<(Self, Tasks), Error> {
        Self::open_with_clock(settings, events, Arc::new(SystemClock)).await
    }

    /// The same by another clock than the machine's.
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

    /// Keeps events in memory until the place of `settings` can be written, which is tried again after 1 s, and then after
    /// twice as long each time, up to 30 s; they are brought there then. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// There is no thread for it.
    pub async fn open_in_memory(settings: Settings, events: EventReader) -> Result<(Self, Tasks), Error> {
        Self::open_in_memory_with_clock(settings, events, Arc::new(SystemClock)).await
    }

    /// The same by another clock than the machine's.
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

    /// Records what the server tells, until there is nothing more to be read and it is stopped.
    async fn read(self, mut events: EventReader, mut stopped: oneshot::Receiver<()>) {
        loop {
            let told = tokio::select! {
                biased;
                told = events.next() => told,
                _ = &mut stopped => return,
            };
            match told {
                // What finds no place is counted there.
                Some(Told::Event(event)) => drop(self.record(self.0.told_now(event))),
                Some(Told::Missed(count)) => self.0.drop_events(count),
                None => return,
            }
        }
    }

    /// Gives `event` its id and a place in the queue. Never waits.
    ///
    /// # Errors
    /// [`NotKept`] when there is no place; the event is counted as dropped. Marks find none while what is left of the queue is
    /// needed for what happens to the cameras; whoever sets one is told, and it is not counted.
    pub fn record(&self, event: Event) -> Result<Recorded, NotKept> {
        self.0.record(event)
    }

    /// All events of `query` in `writer`'s format, as pieces of a body. Pieces are made as they are taken.
    pub fn export<P>(&self, query: Query, writer: crate::table::Writer<P>) -> Export<P>
    where
        P: for<'a> crate::table::Page<crate::Row<'a>> + Send + 'static,
    {
        Export::new(self.index(), self.0.editions.clone(), query, writer)
    }

    /// At most `limit` events of `query` after `after`, and after which there are more, if there are. There are fewer
    /// where they take 512 KiB, but one at least.
    ///
    /// # Errors
    /// What the database says.
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

    /// Events as they happen, from after the id `after` on; from now on without one, or after one that was never given:
    /// it was another history's.
    pub fn listen(&self, filter: crate::Filter, after: Option<i64>) -> Listener {
        let newest = self.0.newest.subscribe();
        let (last, shift, raised) = {
            let state = self.0.lock();
            // What has an id is at hand, told or not.
            (state.next_id - 1, state.shift, state.raised.clone())
        };
        let after = after.map(|after| if raised.contains(&after) { after + shift } else { after });
        let after = after.map_or(last, |after| after.min(last));
        Listener::new(self.clone(), filter, Position::new(after, shift), newest)
    }

    /// The names of all cameras that events are kept of.
    pub fn cameras(&self) -> Vec<String> {
        self.0.lock().cameras.iter().cloned().collect()
    }

    /// What was counted since the start.
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

    /// Whether events are in memory until their place can be written.
    pub fn is_homeless(&self) -> bool {
        self.0.lock().is_homeless
    }

    /// Waits until all that was recorded is written, or the history is closed.
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

    /// Where `limit` events after `position`, or fewer that have `max_bytes`, are to be had. Where ids have become higher
    /// since it was looked for last, so has the position.
    pub(crate) fn find(&self, position: &mut Position, limit: usize, max_bytes: usize) -> Place {
        let state = self.0.lock();
        position.follow(state.shift);
        let after = position.after;
        if after < state.before_recent {
            // Under the lock: an index goes with its ids.
            return Place::Index { index: self.index(), until: state.before_recent };
        }
        let begin = state.recent.partition_point(|kept| kept.entry.id <= after);
        Place::AtHand(up_to(max_bytes, state.recent.range(begin..).take(limit)).cloned().collect())
    }

    /// The highest id of those that were taken away.
    pub(crate) fn pruned(&self) -> i64 {
        self.0.lock().pruned
    }
}

/// What runs for a history until it is closed, or this is dropped.
#[derive(Debug)]
pub struct Tasks {
    history: History,
    stop: Option<oneshot::Sender<()>>,
    reading: Option<JoinHandle<()>>,
    writing: Option<JoinHandle<()>>,
}

impl Tasks {
    /// Ends the history when all is written, or as soon as the database does not take it. What is recorded later is not
    /// kept.
    pub async fn close(mut self) {
        self.stop = None;
        // Tasks that panicked have said so.
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

    /// What the server tells is told now: a clock that was ahead for so short a while that nobody saw it may have stamped it.
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

    /// Goes on in `index`, which the events were brought to; it knows of the shifts `planned`. See [`State::raise`] for `unused`.
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
            // Under the lock: a caller that sees all events here may close the history.
            let told = state.record_dropped(now);
            (state.next_id - 1, told)
        };
        self.counts.written.fetch_add(count, Ordering::Relaxed);
        self.counts.recorded.fetch_add(u64::from(told.is_some()), Ordering::Relaxed);
        self.tell(newest);
    }

    /// The first `count` events that waited are in the index, where `displaced` made room for them.
    fn written(&self, count: usize, displaced: Displaced) {
        let mut state = self.lock();
        state.written(count);
        state.pruned = state.pruned.max(displaced.up_to);
        if state.is_homeless {
            // These are told when there is a place to tell it.
            state.homeless = (state.homeless + count as u64).saturating_sub(displaced.lost);
            state.untold += displaced.lost;
            self.counts.dropped.fetch_add(displaced.lost, Ordering::Relaxed);
        } else {
            self.counts.written.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Tells who listens, and the writer, of the event `id`.
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

    /// Records how many were dropped, where there is place for that.
    fn tell_dropped(&self) {
        let now = self.clock.now();
        let told = self.lock().record_dropped(now);
        if let Some(id) = told {
            self.counts.recorded.fetch_add(1, Ordering::Relaxed);
            self.tell(id);
        }
    }
}
