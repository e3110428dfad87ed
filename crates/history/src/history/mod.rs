//! Events as they come: each gets its id, is at hand for who listens, and is written to the index by one task, which also
//! takes away what is not kept (`expiry.rs` decides what is too old, `timeline.rs` which times were stamped by a wrong clock).
//!
//! [`History::record`] never waits: what is not written yet stands in a bounded queue, and what finds it full is counted
//! and told by an event of its own. While the database is away the queue waits; it is tried again, in order.

mod expiry;
mod timeline;
mod upkeep;
mod writer;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use framecast_hub::{Event, EventKind, EventReader, Told};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, Now, SystemClock};
use crate::edition::Editions;
use crate::entry::Entry;
use crate::index::{Index, Location, Shift};
use crate::{Error, Export, Key, Listener, Query};
use timeline::Timeline;
use upkeep::Upkeep;

/// How many events wait for the database at most.
pub(crate) const QUEUE: usize = 10_000;

/// How many may wait before a mark finds no place more.
const MARKS: usize = QUEUE / 4 * 3;

/// How many events that are written stay at hand for who listens.
const RECENT: usize = 1_000;

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
    index: Index,
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

/// An event that has its id, in the forms in which it is told.
#[derive(Debug)]
pub struct Kept {
    /// The event.
    pub entry: Arc<Entry>,
    /// As JSON.
    pub json: Bytes,
}

impl Kept {
    pub(crate) fn new(entry: Entry) -> Self {
        let json = serde_json::to_vec(&entry).expect("an entry is an object of texts and numbers");
        Self { entry: Arc::new(entry), json: Bytes::from(json) }
    }
}

#[derive(Debug)]
struct State {
    /// The next id.
    next_id: i64,
    /// The newest events, the last `waiting` of which are not written.
    recent: VecDeque<Arc<Kept>>,
    waiting: usize,
    /// The id before the first of `recent`; what is up to it is in the index alone.
    before_recent: i64,
    /// Events that found no place, since that was told last.
    untold: u64,
    /// Who waits for an event to be written.
    acks: VecDeque<(i64, oneshot::Sender<()>)>,
    cameras: BTreeSet<String>,
    timeline: Timeline,
    /// The highest id of those that were taken away.
    pruned: i64,
    is_away: bool,
    is_closed: bool,
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
    /// Those that wait.
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
        let (index, found) = Index::open(&settings.location, RESERVE).await?;
        let now = clock.now();
        let upkeep = Upkeep::new(&settings, &found, now);
        let state = State {
            next_id: found.reserved + 1,
            recent: VecDeque::new(),
            waiting: 0,
            before_recent: found.reserved,
            untold: 0,
            acks: VecDeque::new(),
            cameras: found.cameras.into_iter().collect(),
            timeline: Timeline::new(now, found.reserved + 1, found.shifts),
            pruned: found.pruned,
            is_away: false,
            is_closed: false,
        };
        let shared = Shared {
            index,
            clock,
            editions: Editions::default(),
            state: Mutex::new(state),
            work: Notify::new(),
            newest: watch::Sender::new(found.reserved),
            idle: Notify::new(),
            counts: Counts::default(),
        };
        let history = Self(Arc::new(shared));
        let (stop, stopped) = oneshot::channel();
        let reading = tokio::spawn(history.clone().read(events, stopped));
        let writing = tokio::spawn(writer::run(Arc::clone(&history.0), upkeep));
        let tasks = Tasks {
            history: history.clone(),
            stop: Some(stop),
            reading: Some(reading),
            writing: Some(writing),
        };
        Ok((history, tasks))
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
                Some(Told::Event(event)) => drop(self.record(event)),
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
        Export::new(self.index().clone(), self.0.editions.current(), query, writer)
    }

    /// At most `limit` events of `query` after `after`, and after which there are more, if there are.
    ///
    /// # Errors
    /// What the database says.
    pub async fn page(
        &self,
        query: &Query,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<Key>), Error> {
        let (entries, filled) = self.index().fill(query, after, limit, Vec::new()).await;
        let filled = filled?;
        Ok((entries.unwrap_or_default(), filled.last.filter(|_| !filled.is_end)))
    }

    /// Events as they happen, from after the id `after` on; from now on without one, or after one that was never given:
    /// it was another history's.
    pub fn listen(&self, filter: crate::Filter, after: Option<i64>) -> Listener {
        let newest = self.0.newest.subscribe();
        // What has an id is at hand, told or not.
        let last = self.0.lock().next_id - 1;
        let after = after.map_or(last, |after| after.min(last));
        Listener::new(self.clone(), filter, after, newest)
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
            waiting: state.waiting as u64,
            is_away: state.is_away,
        }
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

    pub(crate) fn index(&self) -> &Index {
        &self.0.index
    }

    /// Up to `limit` events at hand after the id `after`; `None` where the first of them is in the index alone.
    pub(crate) fn recent_after(&self, after: i64, limit: usize) -> Option<Vec<Arc<Kept>>> {
        let state = self.0.lock();
        if after < state.before_recent {
            return None;
        }
        let begin = state.recent.partition_point(|kept| kept.entry.id <= after);
        Some(state.recent.range(begin..).take(limit).cloned().collect())
    }

    /// The highest id of those that were taken away.
    pub(crate) fn pruned(&self) -> i64 {
        self.0.lock().pruned
    }

    /// The id up to which events are in the index alone.
    pub(crate) fn before_recent(&self) -> i64 {
        self.0.lock().before_recent
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

impl State {
    fn record(&mut self, event: Event, now: Now) -> Result<Recorded, NotKept> {
        if self.is_closed {
            return Err(NotKept::Closed);
        }
        if event.kind == EventKind::Mark && self.waiting >= MARKS {
            return Err(NotKept::Full);
        }
        // What was dropped before stands before what comes after.
        if self.untold > 0 && self.waiting + 1 < QUEUE {
            self.record_dropped(now);
        }
        if self.waiting >= QUEUE {
            self.untold += 1;
            return Err(NotKept::Full);
        }
        let kept = self.push(event, now);
        let (ack, written) = oneshot::channel();
        self.acks.push_back((kept.entry.id, ack));
        Ok(Recorded { kept, written })
    }

    /// Records an event of how many were dropped; its id, if there was a reason and a place.
    fn record_dropped(&mut self, now: Now) -> Option<i64> {
        if self.untold == 0 || self.waiting >= QUEUE || self.is_closed {
            return None;
        }
        let count = std::mem::take(&mut self.untold);
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.wall_ms).unwrap_or(0));
        let event = Event::new(EventKind::Dropped, at).counting(count);
        Some(self.push(event, now).entry.id)
    }

    fn push(&mut self, event: Event, now: Now) -> Arc<Kept> {
        self.observe(now);
        let mut entry = Entry::new(self.next_id, event);
        entry.at_ms = self.timeline.stamp(now, entry.at_ms);
        self.next_id += 1;
        if let Some(camera) = &entry.camera
            && !self.cameras.contains(camera)
        {
            self.cameras.insert(camera.clone());
        }
        let kept = Arc::new(Kept::new(entry));
        self.recent.push_back(Arc::clone(&kept));
        self.waiting += 1;
        kept
    }

    /// Takes note of the time: events from the next one on are stamped by this clock.
    fn observe(&mut self, now: Now) {
        self.timeline.observe(now, self.next_id);
    }

    /// The id up to which all events are in the index.
    fn last_written(&self) -> i64 {
        let first = self.recent.len() - self.waiting;
        self.recent.get(first).map_or(self.next_id, |kept| kept.entry.id) - 1
    }

    /// Moves the times of what is at hand as the index has moved its own.
    fn shift(&mut self, shifts: &[Shift]) {
        for kept in &mut self.recent {
            let Entry { id, at_ms, .. } = *kept.entry;
            if let Some(at_ms) = shifts.iter().find_map(|shift| shift.moved(id, at_ms)) {
                *kept = Arc::new(Kept::new(Entry { at_ms, ..(*kept.entry).clone() }));
            }
        }
    }

    /// The first `limit` events that wait, and an id beyond all that can be given before the next batch.
    fn batch(&self, limit: usize) -> (Vec<Arc<Entry>>, i64) {
        let begin = self.recent.len() - self.waiting;
        let batch = self.recent.range(begin..).take(limit).map(|kept| Arc::clone(&kept.entry));
        (batch.collect(), self.next_id + RESERVE)
    }

    /// The first `count` events that waited are written.
    fn written(&mut self, count: usize) {
        self.waiting -= count;
        let last = self.recent.len() - self.waiting;
        let last_id = last.checked_sub(1).and_then(|at| self.recent.get(at)).map_or(0, |kept| kept.entry.id);
        while self.acks.front().is_some_and(|(id, _)| *id <= last_id) {
            let (_, ack) = self.acks.pop_front().expect("it has a front");
            // Whoever does not wait for it has dropped its end.
            ack.send(()).ok();
        }
        while self.recent.len() > self.waiting + RECENT {
            let gone = self.recent.pop_front().expect("it is longer than nothing");
            self.before_recent = gone.entry.id;
        }
    }
}
