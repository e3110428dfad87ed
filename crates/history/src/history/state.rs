//! What a history holds in memory: the newest events, those that wait to be written among them, and the state of ids
//! and clocks.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use framecast_hub::{Event, EventKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::kept::{Kept, up_to};
use super::timeline::Timeline;
use super::{
    BATCH_BYTES, MARKS, MARKS_BYTES, NotKept, QUEUE, QUEUE_BYTES, RECENT, RECENT_BYTES, RESERVE, Recorded,
};
use crate::clock::Now;
use crate::entry::Entry;
use crate::index::{Found, Shift};

#[derive(Debug)]
pub(super) struct State {
    /// The next id.
    pub(super) next_id: i64,
    /// The newest events; the last `waiting` of them are not written yet.
    pub(super) recent: VecDeque<Arc<Kept>>,
    pub(super) waiting: usize,
    /// The bytes of the events of `recent`, and of the last `waiting` of them.
    pub(super) recent_bytes: usize,
    pub(super) waiting_bytes: usize,
    /// The number of events in memory that belong in the database.
    pub(super) homeless: u64,
    pub(super) is_homeless: bool,
    /// All events in memory up to this id are in the database too.
    pub(super) brought: i64,
    /// The first id of this run.
    pub(super) first_id: i64,
    /// How much higher the ids are than those given at first.
    pub(super) shift: i64,
    /// Ids given at first and by no other run: clients may remember them.
    pub(super) raised: Range<i64>,
    /// The id before the first of `recent`; only the index has the events up to it.
    pub(super) before_recent: i64,
    /// Dropped events that no event has reported yet.
    pub(super) untold: u64,
    /// The callers that wait for an event to be written.
    pub(super) acks: VecDeque<(i64, oneshot::Sender<()>)>,
    pub(super) cameras: BTreeSet<String>,
    pub(super) timeline: Timeline,
    /// The highest id of the removed events.
    pub(super) pruned: i64,
    pub(super) is_away: bool,
    /// When it was last logged that the database is unavailable, and whether its recovery must be logged.
    pub(super) away_told_at: Option<Instant>,
    pub(super) is_away_told: bool,
    pub(super) is_closed: bool,
}

impl State {
    /// A run that begins `now` with what was `found`. `is_homeless` if its events are in memory until their database
    /// can be opened.
    pub(super) fn new(found: Found, now: Now, is_homeless: bool) -> Self {
        Self {
            next_id: found.reserved + 1,
            recent: VecDeque::new(),
            waiting: 0,
            recent_bytes: 0,
            waiting_bytes: 0,
            homeless: 0,
            is_homeless,
            brought: 0,
            first_id: found.reserved + 1,
            shift: 0,
            raised: 0..0,
            before_recent: found.reserved,
            untold: 0,
            acks: VecDeque::new(),
            cameras: found.cameras.into_iter().collect(),
            timeline: Timeline::new(now, found.reserved + 1, found.shifts),
            pruned: found.pruned,
            is_away: false,
            away_told_at: None,
            is_away_told: false,
            is_closed: false,
        }
    }

    pub(super) fn record(&mut self, event: Event, now: Now) -> Result<Recorded, NotKept> {
        if self.is_closed {
            return Err(NotKept::Closed);
        }
        let is_for_marks = self.waiting < MARKS && self.waiting_bytes < MARKS_BYTES;
        if event.kind == EventKind::Mark && !is_for_marks {
            return Err(NotKept::Full);
        }
        // Report earlier drops before the next event.
        if self.untold > 0 && self.waiting + 1 < QUEUE {
            self.record_dropped(now);
        }
        if self.is_full() {
            self.untold += 1;
            return Err(NotKept::Full);
        }
        let kept = self.push(event, now);
        let (ack, written) = oneshot::channel();
        self.acks.push_back((kept.entry.id, ack));
        Ok(Recorded { kept, written })
    }

    /// Records an event with the number of dropped events; returns its id. `None` if there were none, or if the event
    /// does not fit. A closed history still writes this event with the rest of the queue.
    pub(super) fn record_dropped(&mut self, now: Now) -> Option<i64> {
        // In memory, more events may be evicted; a later report counts them too.
        if self.untold == 0 || self.is_full() || self.is_homeless {
            return None;
        }
        let count = std::mem::take(&mut self.untold);
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.wall_ms).unwrap_or(0));
        let event = Event::new(EventKind::Dropped, at).counting(count);
        Some(self.push(event, now).entry.id)
    }

    /// Whether the queue is full.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= QUEUE || self.waiting_bytes >= QUEUE_BYTES
    }

    pub(super) fn push(&mut self, event: Event, now: Now) -> Arc<Kept> {
        self.observe(now);
        let mut entry = Entry::new(self.next_id, event);
        entry.at_ms = self.timeline.stamp(now, entry.at_ms);
        self.next_id += 1;
        if let Some(camera) = &entry.camera
            && !self.cameras.contains(camera)
        {
            self.cameras.insert(camera.clone());
        }
        let bytes = entry.weight_bytes();
        let kept = Arc::new(Kept::new(entry));
        self.recent.push_back(Arc::clone(&kept));
        self.waiting += 1;
        self.waiting_bytes += bytes;
        self.recent_bytes += bytes;
        kept
    }

    /// Notes the time: this clock stamps the next event and later ones.
    pub(super) fn observe(&mut self, now: Now) {
        self.timeline.observe(now, self.next_id);
    }

    /// All events up to this id are in the index.
    pub(super) fn last_written(&self) -> i64 {
        let first = self.recent.len() - self.waiting;
        self.recent.get(first).map_or(self.next_id, |kept| kept.entry.id) - 1
    }

    /// Corrects the times of the events in memory as the index has corrected its own.
    pub(super) fn shift(&mut self, shifts: &[Shift]) {
        for kept in &mut self.recent {
            let Entry { id, at_ms, .. } = *kept.entry;
            if let Some(at_ms) = shifts.iter().find_map(|shift| shift.moved(id, at_ms)) {
                *kept = Arc::new(Kept::new(Entry { at_ms, ..(*kept.entry).clone() }));
            }
        }
    }

    /// The first `limit` events of the queue, and an id above all that can be given before the next batch.
    pub(super) fn batch(&self, limit: usize) -> (Vec<Arc<Entry>>, i64) {
        let begin = self.recent.len() - self.waiting;
        let batch = up_to(BATCH_BYTES, self.recent.range(begin..).take(limit));
        let batch = batch.map(|kept| Arc::clone(&kept.entry));
        (batch.collect(), self.next_id + RESERVE)
    }

    /// The first `count` events of the queue are written.
    pub(super) fn written(&mut self, count: usize) {
        let first = self.recent.len() - self.waiting;
        let written = self.recent.range(first..first + count);
        self.waiting_bytes -= written.map(|kept| kept.entry.weight_bytes()).sum::<usize>();
        self.waiting -= count;
        let last = self.recent.len() - self.waiting;
        let last_id = last.checked_sub(1).and_then(|at| self.recent.get(at)).map_or(0, |kept| kept.entry.id);
        while self.acks.front().is_some_and(|(id, _)| *id <= last_id) {
            let (_, ack) = self.acks.pop_front().expect("it has a front");
            // A caller that does not wait has dropped its receiver.
            ack.send(()).ok();
        }
        while self.recent.len() > self.waiting + RECENT
            || self.recent.len() > self.waiting && self.recent_bytes - self.waiting_bytes > RECENT_BYTES
        {
            let gone = self.recent.pop_front().expect("it is longer than nothing");
            self.recent_bytes -= gone.entry.weight_bytes();
            self.before_recent = gone.entry.id;
        }
    }

    /// Raises all ids by `shift`. In the index, earlier runs have no ids from the first one of this run up to `unused`.
    pub(super) fn raise(&mut self, shift: i64, unused: i64) {
        if shift == 0 {
            return;
        }
        self.raised = self.first_id..unused.min(self.next_id);
        for kept in &mut self.recent {
            *kept = Arc::new(Kept::new(Entry { id: kept.entry.id + shift, ..Entry::clone(&kept.entry) }));
        }
        self.acks.iter_mut().for_each(|(id, _)| *id += shift);
        self.next_id += shift;
        self.before_recent += shift;
        if self.pruned > 0 {
            self.pruned += shift;
        }
        self.shift += shift;
    }
}
