//! What a history holds in memory: the newest events, including those that are not in the database yet, and the state
//! of event ids and clocks.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use framecast_hub::{Event, EventKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::stored_event::{StoredEvent, up_to};
use super::timeline::Timeline;
use super::{
    BATCH_BYTES, ID_BLOCK, MARK_QUEUE_LIMIT, MARK_QUEUE_LIMIT_BYTES, MAX_QUEUED, MAX_QUEUED_BYTES,
    MAX_RECENT, MAX_RECENT_BYTES, RecordError, RecordedEvent,
};
use crate::clock::ClockReading;
use crate::entry::Entry;
use crate::index::{IndexState, TimeCorrection};

#[derive(Debug)]
pub(super) struct State {
    /// The id that the next event will get.
    pub(super) next_id: i64,
    /// The newest events, oldest first. The last `waiting` of them are not written to the index yet: they form the
    /// queue.
    pub(super) recent: VecDeque<Arc<StoredEvent>>,
    pub(super) waiting: usize,
    /// The size of all events in `recent`, in bytes; `waiting_bytes` is the size of the last `waiting` of these events.
    pub(super) recent_bytes: usize,
    pub(super) waiting_bytes: usize,
    /// The number of events that are stored in memory because the database cannot be opened yet, and that are still to
    /// be moved to the database.
    pub(super) in_memory_count: u64,
    pub(super) is_in_memory: bool,
    /// Of the events that are stored in memory until the database can be opened, those up to this id are already in the
    /// database too.
    pub(super) relocated_up_to: i64,
    /// The first id that this run of the server could assign to an event.
    pub(super) first_id: i64,
    /// By how much the event ids of this run have been raised, because the database to which the events moved already
    /// used the ids.
    pub(super) id_offset: i64,
    /// The ids that events of this run had before the ids were raised. Clients might still send these ids, which no
    /// other run of the server has assigned.
    pub(super) raised: Range<i64>,
    /// The id of the last event that is no longer in `recent`. Events up to this id are only in the index (the
    /// database).
    pub(super) before_recent: i64,
    /// The number of dropped events that are not yet reported by an event of the history.
    pub(super) unreported: u64,
    /// The callers that wait until an event is written to the index, each with the id of that event.
    pub(super) acks: VecDeque<(i64, oneshot::Sender<()>)>,
    pub(super) cameras: BTreeSet<String>,
    pub(super) timeline: Timeline,
    /// The highest id of all events that were removed from the history.
    pub(super) pruned: i64,
    pub(super) is_unavailable: bool,
    /// When the log last reported that the database is unavailable; `None` before the first report. `must_log_recovery`
    /// is true if the log should also report when the database is available again.
    pub(super) unavailable_logged_at: Option<Instant>,
    pub(super) must_log_recovery: bool,
    pub(super) is_closed: bool,
}

impl State {
    /// Creates the state of a run of the server that begins at `now`. `index_state` is what the index (the database)
    /// contained when it was opened. `is_in_memory` is true if events are kept in memory because their database cannot
    /// be opened yet.
    pub(super) fn new(index_state: IndexState, now: ClockReading, is_in_memory: bool) -> Self {
        Self {
            next_id: index_state.reserved + 1,
            recent: VecDeque::new(),
            waiting: 0,
            recent_bytes: 0,
            waiting_bytes: 0,
            in_memory_count: 0,
            is_in_memory,
            relocated_up_to: 0,
            first_id: index_state.reserved + 1,
            id_offset: 0,
            raised: 0..0,
            before_recent: index_state.reserved,
            unreported: 0,
            acks: VecDeque::new(),
            cameras: index_state.cameras.into_iter().collect(),
            timeline: Timeline::new(now, index_state.reserved + 1, index_state.shifts),
            pruned: index_state.pruned,
            is_unavailable: false,
            unavailable_logged_at: None,
            must_log_recovery: false,
            is_closed: false,
        }
    }

    pub(super) fn record(&mut self, event: Event, now: ClockReading) -> Result<RecordedEvent, RecordError> {
        if self.is_closed {
            return Err(RecordError::Closed);
        }
        let is_for_marks = self.waiting < MARK_QUEUE_LIMIT && self.waiting_bytes < MARK_QUEUE_LIMIT_BYTES;
        if event.kind == EventKind::Mark && !is_for_marks {
            return Err(RecordError::Full);
        }
        // Report earlier drops before the next event.
        if self.unreported > 0 && self.waiting + 1 < MAX_QUEUED {
            self.record_dropped(now);
        }
        if self.is_full() {
            self.unreported += 1;
            return Err(RecordError::Full);
        }
        let stored = self.push(event, now);
        let (ack, written) = oneshot::channel();
        self.acks.push_back((stored.entry.id, ack));
        Ok(RecordedEvent { stored, written })
    }

    /// Records an event that tells how many events were dropped, and returns the id of that event. Records nothing and
    /// returns `None` if no event was dropped, if the queue for the database is full, or if events are kept in memory.
    /// A closed history still writes this event with the rest of the queue.
    pub(super) fn record_dropped(&mut self, now: ClockReading) -> Option<i64> {
        // A history in memory might evict more events; a later report counts all of them.
        if self.unreported == 0 || self.is_full() || self.is_in_memory {
            return None;
        }
        let count = std::mem::take(&mut self.unreported);
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.wall_ms).unwrap_or(0));
        let event = Event::new(EventKind::Dropped, at).with_count(count);
        Some(self.push(event, now).entry.id)
    }

    /// Returns whether the queue for the database is full, by the number of its events or by their size.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= MAX_QUEUED || self.waiting_bytes >= MAX_QUEUED_BYTES
    }

    pub(super) fn push(&mut self, event: Event, now: ClockReading) -> Arc<StoredEvent> {
        self.observe(now);
        let mut entry = Entry::new(self.next_id, event);
        entry.at_ms = self.timeline.event_time_ms(now, entry.at_ms);
        self.next_id += 1;
        if let Some(camera) = &entry.camera
            && !self.cameras.contains(camera)
        {
            self.cameras.insert(camera.clone());
        }
        let bytes = entry.size_bytes();
        let stored = Arc::new(StoredEvent::new(entry));
        self.recent.push_back(Arc::clone(&stored));
        self.waiting += 1;
        self.waiting_bytes += bytes;
        self.recent_bytes += bytes;
        stored
    }

    /// Updates the timeline, which notices when somebody sets the wall clock, to the clock reading `now`. If somebody
    /// has set it, a new span of event ids begins with the next event.
    pub(super) fn observe(&mut self, now: ClockReading) {
        self.timeline.observe(now, self.next_id);
    }

    /// Returns the highest id up to which all events are written to the index (the database).
    pub(super) fn last_written(&self) -> i64 {
        let first = self.recent.len() - self.waiting;
        self.recent.get(first).map_or(self.next_id, |stored| stored.entry.id) - 1
    }

    /// Applies the time corrections `shifts` to the events in memory, after the index has applied them to the stored
    /// events.
    pub(super) fn shift_times(&mut self, shifts: &[TimeCorrection]) {
        for stored in &mut self.recent {
            let Entry { id, at_ms, .. } = *stored.entry;
            if let Some(at_ms) = shifts.iter().find_map(|time_shift| time_shift.moved(id, at_ms)) {
                *stored = Arc::new(StoredEvent::new(Entry { at_ms, ..(*stored.entry).clone() }));
            }
        }
    }

    /// Returns at most `limit` events from the front of the queue, to write to the index. Also returns the id up to
    /// which to reserve ids with this write, which is higher than any id that an event can get before the next write.
    pub(super) fn batch(&self, limit: usize) -> (Vec<Arc<Entry>>, i64) {
        let begin = self.recent.len() - self.waiting;
        let batch = up_to(BATCH_BYTES, self.recent.range(begin..).take(limit));
        let batch = batch.map(|stored| Arc::clone(&stored.entry));
        (batch.collect(), self.next_id + ID_BLOCK)
    }

    /// Updates the state after the first `count` events of the queue were written to the index, and notifies the
    /// callers that wait for these events.
    pub(super) fn written(&mut self, count: usize) {
        let first = self.recent.len() - self.waiting;
        let written = self.recent.range(first..first + count);
        self.waiting_bytes -= written.map(|stored| stored.entry.size_bytes()).sum::<usize>();
        self.waiting -= count;
        let last = self.recent.len() - self.waiting;
        let last_id =
            last.checked_sub(1).and_then(|at| self.recent.get(at)).map_or(0, |stored| stored.entry.id);
        while self.acks.front().is_some_and(|(id, _)| *id <= last_id) {
            let (_, ack) = self.acks.pop_front().expect("it has a front");
            // A caller that does not wait has dropped its receiver.
            ack.send(()).ok();
        }
        while self.recent.len() > self.waiting + MAX_RECENT
            || self.recent.len() > self.waiting && self.recent_bytes - self.waiting_bytes > MAX_RECENT_BYTES
        {
            let gone = self.recent.pop_front().expect("it is longer than nothing");
            self.recent_bytes -= gone.entry.size_bytes();
            self.before_recent = gone.entry.id;
        }
    }

    /// Adds `id_offset` to the ids of all events of this run of the server. From this run's first id to just below
    /// `unused`, the index has no event of an earlier run. So if a client sends an id in that range, the id is one that
    /// this run assigned before it raised the ids.
    pub(super) fn raise(&mut self, id_offset: i64, unused: i64) {
        if id_offset == 0 {
            return;
        }
        self.raised = self.first_id..unused.min(self.next_id);
        for stored in &mut self.recent {
            *stored = Arc::new(StoredEvent::new(Entry {
                id: stored.entry.id + id_offset,
                ..Entry::clone(&stored.entry)
            }));
        }
        self.acks.iter_mut().for_each(|(id, _)| *id += id_offset);
        self.next_id += id_offset;
        self.before_recent += id_offset;
        if self.pruned > 0 {
            self.pruned += id_offset;
        }
        self.id_offset += id_offset;
    }
}
