//! Records which offset of the wall clock applied to which events of this run of the server, and says how to correct
//! the times of events once the right offset is known.
//!
//! The offset, which is the wall clock minus the boot clock, is constant unless somebody sets the wall clock. So a run
//! is a sequence of spans of event ids, each with its own offset. Once nobody has set the clock for an hour, the newest
//! offset counts as the right one. The times of events in earlier spans are then changed by the difference between the
//! offsets. If a run ends before all times are corrected, the next run corrects the rest. The code reads no clock and
//! no database itself: the time comes as an argument, and the caller applies the corrections to the stored events.

use std::collections::VecDeque;

use super::HOUR_MS;
use crate::clock::ClockReading;
use crate::index::TimeCorrection;

/// If the wall clock's offset from the boot clock changes by at least this much, in milliseconds, the server assumes
/// that somebody set the wall clock. Leap seconds and NTP's gradual corrections change the offset by less.
pub(super) const STEP_MS: i64 = 60_000;

/// The maximum number of spans of event ids to remember, one for each time that somebody set the wall clock. If the
/// clock is set more often without an hour in between, the times of the first events are not corrected.
const MAX_SPANS: usize = 256;

/// The maximum number of warnings to log when somebody sets the wall clock again and again, until nobody has set it for
/// an hour. After that hour, as many warnings can be logged as at first.
const MAX_LOGGED_STEPS: u32 = 3;

/// A span of event ids whose events were stamped by one setting of the wall clock, from the id `first` to the next
/// span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: i64,
    /// The time of the wall clock minus that of the boot clock when this span began, in milliseconds.
    offset_ms: i64,
    /// The wall clock minus the boot clock at the latest reading in this span, in milliseconds. Differs from
    /// `offset_ms` if the clock drifted or was set in steps shorter than `STEP_MS`, which do not begin a new span.
    last_offset_ms: i64,
    /// The time on the wall clock when this span began, in milliseconds since 1970.
    seen_ms: i64,
}

impl Span {
    fn new(first: i64, now: ClockReading) -> Self {
        let offset_ms = now.offset_ms();
        Self { first, offset_ms, last_offset_ms: offset_ms, seen_ms: now.wall_ms }
    }
}

/// The next step of correcting the times of stored events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Correction {
    /// The database must store this list of all time corrections that are still to be applied to events, in place of
    /// the list that it has. If this run ends before they are applied, the next run of the server can apply them.
    Plan(Vec<TimeCorrection>),
    /// The database must now apply the time corrections of its list to the stored events.
    Apply,
}

/// When somebody set the wall clock during this run of the server, and how far the resulting corrections of event times
/// have come.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    /// The spans of event ids between the settings of the wall clock, oldest first. New events belong to the last span.
    spans: VecDeque<Span>,
    /// When somebody last set the wall clock, in milliseconds on the boot clock. If nobody has during this run of the
    /// server, the start of this run.
    since_ms: i64,
    /// When this run of the server started, in milliseconds on the boot clock (since the machine started).
    began_ms: i64,
    /// The time corrections that an earlier run of the server did not apply to all their events.
    left: Vec<TimeCorrection>,
    /// Whether the list of time corrections in the database is up to date. The list contains all corrections that are
    /// still to be applied to events.
    is_planned: bool,
    /// The time corrections that the database is applying to the stored events now. They are final, even if somebody
    /// sets the clock again.
    applying: Option<Vec<TimeCorrection>>,
    /// The offset of the wall clock from the boot clock that was last logged, in milliseconds, and how many times
    /// somebody has set the clock without an hour in between.
    logged: (i64, u32),
}

impl Timeline {
    /// Creates the timeline of a run of the server that begins at `now`. The first event of this run gets the id
    /// `first`. `left` are the time corrections that an earlier run left in the database, not yet applied to all their
    /// events.
    pub(super) fn new(now: ClockReading, first: i64, left: Vec<TimeCorrection>) -> Self {
        let offset_ms = now.offset_ms();
        Self {
            spans: VecDeque::from([Span::new(first, now)]),
            since_ms: now.boot_ms,
            began_ms: now.boot_ms,
            left,
            is_planned: true,
            applying: None,
            logged: (offset_ms, 0),
        }
    }

    fn current(&self) -> Span {
        *self.spans.back().expect("there is always the clock of now")
    }

    /// Updates the spans of event ids to the clock reading `now`. If somebody has set the wall clock, a new span begins
    /// with the id `next_id`.
    pub(super) fn observe(&mut self, now: ClockReading, next_id: i64) {
        let (current, offset_ms) = (self.current(), now.offset_ms());
        let by_ms = offset_ms.saturating_sub(current.last_offset_ms);
        if by_ms.saturating_abs() < STEP_MS {
            self.slide(by_ms);
            return;
        }
        (self.since_ms, self.is_planned) = (now.boot_ms, false);
        // A span without events is not needed.
        if current.first == next_id {
            self.spans.pop_back();
        }
        match self.spans.back() {
            // The clock was set back to its previous offset.
            Some(before) if before.last_offset_ms.saturating_sub(offset_ms).saturating_abs() < STEP_MS => {}
            _ => self.spans.push_back(Span::new(next_id, now)),
        }
        if self.spans.len() > MAX_SPANS {
            self.spans.pop_front();
        }
    }

    /// Adjusts the remembered offsets after the wall clock's offset has changed by `by_ms`. That is less than
    /// `STEP_MS`, so the server does not assume that somebody set the clock.
    fn slide(&mut self, by_ms: i64) {
        if let Some(current) = self.spans.back_mut() {
            current.last_offset_ms = current.last_offset_ms.saturating_add(by_ms);
        }
        self.logged.0 = self.logged.0.saturating_add(by_ms);
    }

    /// Returns the time to store for an event that is recorded at `now` and was stamped with `at_ms`. If the event was
    /// sent just before somebody set the clock, its time is that of the old setting, and is converted to the new one.
    pub(super) fn event_time_ms(&self, now: ClockReading, at_ms: i64) -> i64 {
        let Some(before) = self.spans.iter().rev().nth(1) else { return at_ms };
        let off_by = |wall_ms: i64| at_ms.saturating_sub(wall_ms).saturating_abs();
        let is_fresh = now.boot_ms.saturating_sub(self.since_ms) < STEP_MS;
        if is_fresh && off_by(now.boot_ms.saturating_add(before.last_offset_ms)) < off_by(now.wall_ms) {
            at_ms.saturating_add(self.current().last_offset_ms.saturating_sub(before.last_offset_ms))
        } else {
            at_ms
        }
    }

    /// Returns by how much somebody has set the wall clock since the last call, in milliseconds, and whether to log
    /// that as a warning (only the first `MAX_LOGGED_STEPS` times). Returns `None` if nobody has set the clock.
    pub(super) fn step_to_log(&mut self, now: ClockReading) -> Option<(i64, bool)> {
        if self.has_held(now) {
            self.logged.1 = 0;
        }
        let step_ms = self.current().last_offset_ms.saturating_sub(self.logged.0);
        if step_ms.saturating_abs() < STEP_MS {
            return None;
        }
        self.logged = (self.current().last_offset_ms, self.logged.1.saturating_add(1));
        Some((step_ms, self.logged.1 <= MAX_LOGGED_STEPS))
    }

    /// Returns whether nobody has set the wall clock for an hour.
    pub(super) fn has_held(&self, now: ClockReading) -> bool {
        self.has_held_for(now, HOUR_MS)
    }

    /// Returns whether nobody has set the wall clock for `ms` milliseconds.
    pub(super) fn has_held_for(&self, now: ClockReading, ms: i64) -> bool {
        now.boot_ms.saturating_sub(self.since_ms) >= ms
    }

    /// Returns whether no event is waiting for a correction of its time.
    pub(super) fn is_settled(&self) -> bool {
        self.applying.is_none() && self.waiting().is_empty()
    }

    /// Returns the time corrections that have not begun to be applied: those that an earlier run of the server left,
    /// and one for each span of event ids that was stamped by another setting of the wall clock than the current one.
    pub(super) fn waiting(&self) -> Vec<TimeCorrection> {
        let current = self.current();
        let pairs = self.spans.iter().zip(self.spans.iter().skip(1));
        let own = pairs.map(|(span, next)| TimeCorrection {
            first: span.first,
            last: next.first - 1,
            by_ms: current.offset_ms.saturating_sub(span.last_offset_ms),
            seen_ms: current.seen_ms,
        });
        let own = own.filter(|shift| shift.by_ms.saturating_abs() >= STEP_MS);
        self.left.iter().copied().chain(own).collect()
    }

    /// Returns the next step of correcting the times of stored events, or `None` if there is nothing to do now. All
    /// events up to the id `written` are in the database.
    pub(super) fn correction(&mut self, now: ClockReading, written: i64) -> Option<Correction> {
        if self.applying.is_some() {
            return Some(Correction::Apply);
        }
        let has_held = self.has_held(now);
        let left = self.left.len();
        if has_held {
            let began_ms = now.wall_ms.saturating_sub(now.boot_ms.saturating_sub(self.began_ms));
            self.left.retain(|shift| is_agreed(*shift, now.wall_ms, began_ms));
        }
        self.is_planned &= self.left.len() == left;
        let waiting = self.waiting();
        if !self.is_planned {
            return Some(Correction::Plan(waiting));
        }
        if has_held && !waiting.is_empty() && waiting.iter().all(|shift| shift.last <= written) {
            self.begin(waiting);
            return Some(Correction::Apply);
        }
        None
    }

    /// Updates the state after the database stored `planned` as its list of time corrections to apply. The list might
    /// be outdated already, because somebody set the clock meanwhile.
    pub(super) fn planned(&mut self, planned: &[TimeCorrection]) {
        self.is_planned = self.waiting() == planned;
    }

    /// Returns whether the database is applying time corrections to stored events now.
    pub(super) fn is_applying(&self) -> bool {
        self.applying.is_some()
    }

    /// Continues with another database, to which the history has moved. There, the ids of this run's events are higher
    /// by `id_offset`. `left` are the time corrections that an earlier run left in that database.
    pub(super) fn continue_with(&mut self, left: Vec<TimeCorrection>, id_offset: i64) {
        for span in &mut self.spans {
            span.first += id_offset;
        }
        (self.left, self.is_planned) = (left, false);
    }

    /// From now on, treats the current setting of the wall clock as right for all events so far, and has the database
    /// apply the time corrections `shifts`.
    fn begin(&mut self, shifts: Vec<TimeCorrection>) {
        let first = self.spans.front().map_or(0, |span| span.first);
        let current = Span { first, ..self.current() };
        self.spans = VecDeque::from([current]);
        self.left.clear();
        self.applying = Some(shifts);
    }

    /// Returns the time corrections that the database has now applied to all stored events, so that the caller can
    /// correct the events in memory too. Afterwards, `is_applying` returns false.
    pub(super) fn take_applied(&mut self) -> Vec<TimeCorrection> {
        self.applying.take().unwrap_or_default()
    }
}

/// Returns whether a time correction that an earlier run of the server left (`shift`) can still be right. It can be
/// right if the wall clock as it is set now (the current clock) agrees with the wall clock as it was set at the end of
/// that run (the earlier clock). The current clock shows `now_ms`, and would have shown `began_ms` when this run began.
/// If the two clocks disagree, one of them is wrong, and nobody can know which.
///
/// The clocks disagree if the current clock is behind the earlier one. They also disagree if the earlier clock had been
/// set back, and this run began after the time that the earlier clock showed before it was set: that time might have
/// been right.
fn is_agreed(shift: TimeCorrection, now_ms: i64, began_ms: i64) -> bool {
    let is_back = shift.by_ms < 0;
    now_ms >= shift.seen_ms && (!is_back || began_ms < shift.seen_ms.saturating_sub(shift.by_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;
    const MINUTE_MS: i64 = 60_000;
    const START: ClockReading = ClockReading { wall_ms: 1_795_442_400_000, boot_ms: 5_000_000 };

    /// `after_ms` after the start, with a wall clock that is `ahead_ms` ahead.
    fn at(after_ms: i64, ahead_ms: i64) -> ClockReading {
        ClockReading { wall_ms: START.wall_ms + after_ms + ahead_ms, boot_ms: START.boot_ms + after_ms }
    }

    fn shift(first: i64, last: i64, by_ms: i64, seen_ms: i64) -> TimeCorrection {
        TimeCorrection { first, last, by_ms, seen_ms }
    }

    #[test]
    fn a_clock_that_was_behind_moves_what_it_stamped_once_it_has_held_for_an_hour() {
        let mut timeline = Timeline::new(at(0, -100 * DAY_MS), 10, Vec::new());
        timeline.observe(at(20_000, -100 * DAY_MS), 14);
        assert_eq!(timeline.correction(at(20_000, -100 * DAY_MS), 13), None);
        timeline.observe(at(30_000, 0), 14);
        let waits = vec![shift(10, 13, 100 * DAY_MS, at(30_000, 0).wall_ms)];
        assert_eq!(timeline.correction(at(30_000, 0), 20), Some(Correction::Plan(waits.clone())));
        timeline.planned(&waits);
        let nearly = at(30_000 + HOUR_MS - 1, 0);
        assert_eq!(timeline.correction(nearly, 20), None);
        let held = at(30_000 + HOUR_MS, 0);
        assert_eq!(timeline.correction(held, 12), None, "the last of them is not written");
        assert!(!timeline.is_settled());
        assert_eq!(timeline.correction(held, 20), Some(Correction::Apply));
        assert_eq!(timeline.correction(held, 20), Some(Correction::Apply), "until it is done");
        assert_eq!(timeline.take_applied(), waits);
        assert!(timeline.is_settled());
        assert_eq!(timeline.correction(held, 20), None);
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_while_moves_only_what_came_in_that_while() {
        let mut timeline = Timeline::new(at(0, 0), 1, Vec::new());
        timeline.observe(at(10_000, 365 * DAY_MS), 5);
        timeline.observe(at(100_000, 0), 8);
        let waits = vec![shift(5, 7, -365 * DAY_MS, at(100_000, 0).wall_ms)];
        assert_eq!(timeline.correction(at(100_000, 0), 7), Some(Correction::Plan(waits)));
    }

    #[test]
    fn where_no_event_came_nothing_is_moved() {
        let mut timeline = Timeline::new(at(0, 0), 1, Vec::new());
        timeline.observe(at(10_000, 365 * DAY_MS), 5);
        timeline.observe(at(100_000, 0), 5);
        assert!(timeline.is_settled());
        assert!(!timeline.has_held(at(HOUR_MS, 0)), "it was set all the same");
        assert_eq!(timeline.correction(at(100_000, 0), 4), Some(Correction::Plan(Vec::new())));
        timeline.planned(&[]);
        assert_eq!(timeline.correction(at(2 * HOUR_MS, 0), 4), None);
    }

    #[test]
    fn less_than_a_minute_is_no_step() {
        let mut timeline = Timeline::new(at(0, 0), 1, Vec::new());
        timeline.observe(at(HOUR_MS, STEP_MS - 1), 5);
        timeline.observe(at(HOUR_MS, 0), 5);
        timeline.observe(at(HOUR_MS, 1 - STEP_MS), 5);
        assert!(timeline.has_held(at(HOUR_MS, 0)));
        assert_eq!(timeline.step_to_log(at(HOUR_MS, 0)), None);
    }

    #[test]
    fn many_small_steps_the_same_way_are_no_step() {
        let mut timeline = Timeline::new(at(0, 0), 1, Vec::new());
        for n in 1..=600 {
            timeline.observe(at(n * MINUTE_MS, n * 1_000), 1 + n);
            assert_eq!(timeline.step_to_log(at(n * MINUTE_MS, n * 1_000)), None);
        }
        let ahead_ms = 600_000;
        assert!(timeline.is_settled() && timeline.has_held(at(600 * MINUTE_MS, ahead_ms)));
        // A real step is logged, and corrected, with its true size.
        let set = at(601 * MINUTE_MS, ahead_ms + DAY_MS);
        timeline.observe(set, 700);
        assert_eq!(timeline.step_to_log(set), Some((DAY_MS, true)));
        let waits = [shift(1, 699, DAY_MS, set.wall_ms)];
        timeline.planned(&waits);
        timeline.observe(at(602 * MINUTE_MS, ahead_ms + DAY_MS + 3), 700);
        assert_eq!(timeline.waiting(), waits, "what waits is not planned anew");
    }

    #[test]
    fn an_event_that_was_told_just_before_the_clock_was_set_has_the_time_of_now() {
        let mut timeline = Timeline::new(at(0, -100 * DAY_MS), 1, Vec::new());
        timeline.observe(at(10_000, 0), 5);
        let told = at(9_990, -100 * DAY_MS).wall_ms;
        assert_eq!(timeline.event_time_ms(at(10_000, 0), told), at(9_990, 0).wall_ms);
        let now = at(10_000, 0);
        assert_eq!(timeline.event_time_ms(now, now.wall_ms), now.wall_ms);
        let later = at(10_000 + STEP_MS, 0);
        assert_eq!(timeline.event_time_ms(later, told), told, "what is old is meant to be");
    }

    #[test]
    fn what_an_earlier_run_left_is_made_where_the_clock_does_not_contradict_it() {
        let agreed = shift(3, 4, 100 * DAY_MS, START.wall_ms - 1);
        let contradicted = shift(5, 6, 365 * DAY_MS, START.wall_ms + 365 * DAY_MS);
        let mut timeline = Timeline::new(at(0, 0), 10, vec![agreed, contradicted]);
        assert_eq!(timeline.correction(at(HOUR_MS - 1, 0), 9), None);
        assert_eq!(timeline.correction(at(HOUR_MS, 0), 9), Some(Correction::Plan(vec![agreed])));
        timeline.planned(&[agreed]);
        assert_eq!(timeline.correction(at(HOUR_MS, 0), 9), Some(Correction::Apply));
        assert_eq!(timeline.take_applied(), [agreed]);
    }

    #[test]
    fn a_clock_that_was_set_back_before_the_end_moves_nothing_once_it_is_past_what_it_had_been() {
        // Somebody set the clock back by a day, noticed the mistake, and corrected it between the runs.
        let back = shift(3, 9, -DAY_MS, START.wall_ms - HOUR_MS - DAY_MS);
        let mut timeline = Timeline::new(at(0, 0), 10, vec![back]);
        assert_eq!(timeline.correction(at(HOUR_MS, 0), 9), Some(Correction::Plan(Vec::new())));
        // Here it was right to set the clock back, by half an hour: it continues from there.
        let back = shift(3, 9, -HOUR_MS / 2, START.wall_ms - MINUTE_MS);
        let mut timeline = Timeline::new(at(0, 0), 10, vec![back]);
        assert_eq!(timeline.correction(at(HOUR_MS, 0), 9), Some(Correction::Apply));
        assert_eq!(timeline.take_applied(), [back]);
    }

    #[test]
    fn what_waits_in_one_index_waits_in_another_by_its_ids_there() {
        let mut timeline = Timeline::new(at(0, -DAY_MS), 10, Vec::new());
        timeline.observe(at(10_000, 0), 14);
        timeline.planned(&timeline.waiting());
        let left = shift(2, 3, 100 * DAY_MS, START.wall_ms - 1);
        timeline.continue_with(vec![left], 1_000);
        let waits = vec![left, shift(1_010, 1_013, DAY_MS, at(10_000, 0).wall_ms)];
        let plan = Correction::Plan(waits.clone());
        assert_eq!(timeline.correction(at(10_000, 0), 1_020), Some(plan), "nothing is known there");
        timeline.planned(&waits);
        timeline.observe(at(20_000, 0), 1_021);
        assert_eq!(timeline.correction(at(10_000 + HOUR_MS, 0), 1_020), Some(Correction::Apply));
        assert_eq!(timeline.take_applied(), waits);
    }

    #[test]
    fn a_step_while_shifts_are_made_waits_for_its_turn() {
        let mut timeline = Timeline::new(at(0, -DAY_MS), 1, Vec::new());
        timeline.observe(at(10, 0), 5);
        let waits = timeline.waiting();
        timeline.planned(&waits);
        assert_eq!(timeline.correction(at(10 + HOUR_MS, 0), 8), Some(Correction::Apply));
        timeline.observe(at(20 + HOUR_MS, DAY_MS), 9);
        assert_eq!(timeline.correction(at(20 + HOUR_MS, DAY_MS), 8), Some(Correction::Apply));
        assert_eq!(timeline.take_applied(), waits);
        let seen_ms = at(20 + HOUR_MS, DAY_MS).wall_ms;
        let plan = Correction::Plan(vec![shift(1, 8, DAY_MS, seen_ms)]);
        assert_eq!(timeline.correction(at(20 + HOUR_MS, DAY_MS), 8), Some(plan));
    }

    #[test]
    fn a_clock_that_is_set_all_the_time_is_told_of_thrice_and_bounded() {
        let mut timeline = Timeline::new(at(0, 0), 1, Vec::new());
        let mut told = Vec::new();
        for n in 1..=1_000 {
            let now = at(n * 1_000, n % 2 * DAY_MS);
            timeline.observe(now, n + 1);
            told.extend(timeline.step_to_log(now));
        }
        assert_eq!(told.len(), 1_000);
        assert_eq!(told.iter().filter(|(_, has_room)| *has_room).count(), 3);
        assert_eq!(timeline.spans.len(), MAX_SPANS);
        assert_eq!(told[..2], [(DAY_MS, true), (-DAY_MS, true)]);
    }
}
