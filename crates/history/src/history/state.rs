//! What a history holds in memory: the newest events, those among them that wait to be written, and what is known of ids and
//! clocks.

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
    /// The newest events, the last `waiting` of which are not written.
    pub(super) recent: VecDeque<Arc<Kept>>,
    pub(super) waiting: usize,
    /// What the events of `recent` take, and the last `waiting` of them, in bytes.
    pub(super) recent_bytes: usize,
    pub(super) waiting_bytes: usize,
    /// How many events are in memory, and belong elsewhere.
    pub(super) homeless: u64,
    pub(super) is_homeless: bool,
    /// The id in memory up to which they are where they belong, too.
    pub(super) brought: i64,
    /// The first id that this history could give.
    pub(super) first_id: i64,
    /// How much higher ids are than those that were given at first.
    pub(super) shift: i64,
    /// Ids that were given at first, and by no other run: clients may remember them.
    pub(super) raised: Range<i64>,
    /// The id before the first of `recent`; what is up to it is in the index alone.
    pub(super) before_recent: i64,
    /// Events that found no place, since that was told last.
    pub(super) untold: u64,
    /// Who waits for an event to be written.
    pub(super) acks: VecDeque<(i64, oneshot::Sender<()>)>,
    pub(super) cameras: BTreeSet<String>,
    pub(super) timeline: Timeline,
    /// The highest id of those that were taken away.
    pub(super) pruned: i64,
    pub(super) is_away: bool,
    /// When it was told last that the database is away, and whether that it is back is to be told.
    pub(super) away_told_at: Option<Instant>,
    pub(super) is_away_told: bool,
    pub(super) is_closed: bool,
}

impl State {
    /// A run that begins `now` with what was `found`; `is_homeless` where its events belong elsewhere.
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
        // What was dropped before stands before what comes after.
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

    /// Records an event of how many were dropped; its id, if there was a reason and a place. A history that is closed writes it
    /// still, with what waits.
    pub(super) fn record_dropped(&mut self, now: Now) -> Option<i64> {
        // In memory more may have to make room, and be told with these.
        if self.untold == 0 || self.is_full() || self.is_homeless {
            return None;
        }
        let count = std::mem::take(&mut self.untold);
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.wall_ms).unwrap_or(0));
        let event = Event::new(EventKind::Dropped, at).counting(count);
        Some(self.push(event, now).entry.id)
    }

    /// Whether as much waits as may.
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

    /// Takes note of the time: events from the next one on are stamped by this clock.
    pub(super) fn observe(&mut self, now: Now) {
        self.timeline.observe(now, self.next_id);
    }

    /// The id up to which all events are in the index.
    pub(super) fn last_written(&self) -> i64 {
        let first = self.recent.len() - self.waiting;
        self.recent.get(first).map_or(self.next_id, |kept| kept.entry.id) - 1
    }

    /// Moves the times of what is at hand as the index has moved its own.
    pub(super) fn shift(&mut self, shifts: &[Shift]) {
        for kept in &mut self.recent {
            let Entry { id, at_ms, .. } = *kept.entry;
            if let Some(at_ms) = shifts.iter().find_map(|shift| shift.moved(id, at_ms)) {
                *kept = Arc::new(Kept::new(Entry { at_ms, ..(*kept.entry).clone() }));
            }
        }
    }

    /// The first `limit` events that wait, and an id beyond all that can be given before the next batch.
    pub(super) fn batch(&self, limit: usize) -> (Vec<Arc<Entry>>, i64) {
        let begin = self.recent.len() - self.waiting;
        let batch = up_to(BATCH_BYTES, self.recent.range(begin..).take(limit));
        let batch = batch.map(|kept| Arc::clone(&kept.entry));
        (batch.collect(), self.next_id + RESERVE)
    }

    /// The first `count` events that waited are written.
    pub(super) fn written(&mut self, count: usize) {
        let first = self.recent.len() - self.waiting;
        let written = self.recent.range(first..first + count);
        self.waiting_bytes -= written.map(|kept| kept.entry.weight_bytes()).sum::<usize>();
        self.waiting -= count;
        let last = self.recent.len() - self.waiting;
        let last_id = last.checked_sub(1).and_then(|at| self.recent.get(at)).map_or(0, |kept| kept.entry.id);
        while self.acks.front().is_some_and(|(id, _)| *id <= last_id) {
            let (_, ack) = self.acks.pop_front().expect("it has a front");
            // The receiver is gone where the caller does not wait.
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

    /// Makes all ids higher by `shift`. In the index, earlier runs have none of those from the first of this one to `unused`.
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
