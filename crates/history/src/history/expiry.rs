//! Decides when events can be removed because they are too old, and how many of them.
//!
//! A wall clock can be wrong by a year for a second, but a removed event is gone for good. So age counts only if nobody
//! has set the clock for a while, and the clock is not far ahead of the last time at which the server trusted it. Even
//! then, only a few events are removed in an hour, so that somebody can notice. The code reads no clock itself: the
//! time comes as an argument.

use std::collections::VecDeque;

use super::{HOUR_MS, timeline::Timeline};
use crate::clock::ClockReading;
use crate::index::Aged;

/// If the wall clock is this far ahead of the last time at which the server trusted it, in milliseconds, no event is
/// removed for its age: the clock might be wrong, since a server is rarely off for longer.
const FAR_MS: i64 = 30 * DAY_MS;

/// How long a wall clock that might be wrong must run without being set before the server trusts it, in milliseconds.
const FAR_HOLD_MS: i64 = DAY_MS;

const DAY_MS: i64 = 24 * HOUR_MS;

/// A minute in milliseconds. The events that were removed in the last hour are counted for each minute.
const MINUTE_MS: i64 = 60_000;

/// Judges which events are too old, during one run of the server.
#[derive(Debug)]
pub(super) struct Expiry {
    max_age_ms: i64,
    /// When this run of the server started, in milliseconds on the boot clock (since the machine started).
    started_ms: i64,
    /// The last event id that an earlier run of the server assigned.
    last_before: i64,
    /// The last time at which the server trusted the wall clock, in milliseconds since 1970. This is the start of this
    /// run by the wall clock or, until the server trusts the clock in this run, the time that was in the database.
    /// `None` if there was none.
    trusted_ms: Option<i64>,
    /// When the wall clock was first found more than `FAR_MS` ahead of `trusted_ms`, in milliseconds on the boot clock.
    /// `None` if the wall clock is not that far ahead.
    far_since_ms: Option<i64>,
    /// When the log last reported that the wall clock is more than `FAR_MS` ahead of `trusted_ms`, in milliseconds on
    /// the boot clock. `None` before the first report.
    far_reported_ms: Option<i64>,
    /// How many events were removed for their age in each minute of the last hour: the end of the minute, in
    /// milliseconds on the boot clock, and the number of events.
    removed: VecDeque<(i64, u64)>,
}

impl Expiry {
    /// Creates the state for a run of the server that begins at `now`. Earlier runs assigned event ids up to
    /// `last_before`. `trusted_ms` is the last time at which the server trusted the wall clock, in milliseconds since
    /// 1970.
    pub(super) fn new(max_age_ms: i64, now: ClockReading, last_before: i64, trusted_ms: Option<i64>) -> Self {
        Self {
            max_age_ms,
            started_ms: now.boot_ms,
            last_before,
            trusted_ms,
            far_since_ms: None,
            far_reported_ms: None,
            removed: VecDeque::new(),
        }
    }

    /// Continues this run of the server with another database, to which the history has moved. Earlier runs assigned
    /// event ids up to `last_before` in that database, and stored `trusted_ms` in it: the last time at which the server
    /// trusted the wall clock. Keeps the start of this run and the removals of the last hour.
    pub(super) fn continue_with(&mut self, last_before: i64, trusted_ms: Option<i64>) {
        (self.last_before, self.trusted_ms) = (last_before, trusted_ms);
        (self.far_since_ms, self.far_reported_ms) = (None, None);
    }

    /// Returns which events are too old. Returns `None` while no event can be removed for its age: in the first hour of
    /// this run of the server, in the hour after somebody set the clock, while the times of events are waiting to be
    /// corrected, and while the clock is more than `FAR_MS` ahead of the last time at which the server trusted it.
    pub(super) fn aged(&mut self, now: ClockReading, timeline: &Timeline) -> Option<Aged> {
        let is_doubted = self.is_far(now);
        if is_doubted || !timeline.has_held(now) || !timeline.is_settled() {
            return None;
        }
        let is_trusted = self.trust(now, timeline);
        let hour_ago_ms = now.boot_ms.saturating_sub(HOUR_MS);
        self.removed.retain(|(until_ms, _)| *until_ms > hour_ago_ms);
        let has_run_ms = now.boot_ms.saturating_sub(self.started_ms);
        // Events of this run have times by the current wall clock, so their age is the same by both clocks.
        Some(Aged {
            trusted_ms: is_trusted.then_some(now.wall_ms),
            before_ms: now.wall_ms.saturating_sub(self.max_age_ms),
            up_to_id: if has_run_ms < self.max_age_ms { self.last_before } else { i64::MAX },
            removed_in_hour: self.removed.iter().map(|(_, count)| count).sum(),
        })
    }

    /// Returns whether the server can trust the wall clock now. If so, also updates `trusted_ms`, the last time at
    /// which the server trusted the wall clock. A clock that is behind that time must first run for a day without being
    /// set, because its machine might still be waiting for NTP. Meanwhile such a clock only makes events look younger,
    /// so that too few are removed.
    fn trust(&mut self, now: ClockReading, timeline: &Timeline) -> bool {
        let started_ms = self.started_wall_ms(now);
        let is_behind = self.trusted_ms.is_some_and(|trusted_ms| started_ms < trusted_ms);
        let is_trusted = !is_behind || timeline.has_held_for(now, FAR_HOLD_MS);
        if is_trusted {
            self.trusted_ms = Some(started_ms);
        }
        is_trusted
    }

    /// Returns when this run of the server began, in milliseconds since 1970: the current time of the wall clock minus
    /// the time that has passed on the boot clock.
    fn started_wall_ms(&self, now: ClockReading) -> i64 {
        now.wall_ms.saturating_sub(now.boot_ms.saturating_sub(self.started_ms))
    }

    /// Returns whether the wall clock might be wrong: at the start of this run of the server, the clock was more than
    /// `FAR_MS` ahead of the last time at which the server trusted it, and the run has not lasted a day since that was
    /// found.
    fn is_far(&mut self, now: ClockReading) -> bool {
        let started_ms = self.started_wall_ms(now);
        let is_far = self.trusted_ms.is_some_and(|trusted_ms| started_ms.saturating_sub(trusted_ms) > FAR_MS);
        if !is_far {
            self.far_since_ms = None;
            return false;
        }
        let since_ms = *self.far_since_ms.get_or_insert(now.boot_ms);
        now.boot_ms.saturating_sub(since_ms) < FAR_HOLD_MS
    }

    /// Returns how far the wall clock is ahead of the last time at which the server trusted it, in milliseconds, if
    /// that is why no event is removed. Otherwise returns `None`. Also returns `None` for a day after each report, so
    /// that the log reports the distance once a day.
    pub(super) fn far_to_report(&mut self, now: ClockReading) -> Option<i64> {
        let was_told = self
            .far_reported_ms
            .is_some_and(|reported_ms| now.boot_ms.saturating_sub(reported_ms) < FAR_HOLD_MS);
        if was_told || !self.is_far(now) {
            return None;
        }
        self.far_reported_ms = Some(now.boot_ms);
        Some(self.started_wall_ms(now).saturating_sub(self.trusted_ms?))
    }

    /// Adds `count` to the number of events that were removed for their age in the last hour.
    pub(super) fn record_removed(&mut self, now: ClockReading, count: u64) {
        // The events stay in the count for a whole hour after the end of their minute.
        let until_ms = now.boot_ms.saturating_add(MINUTE_MS - now.boot_ms.rem_euclid(MINUTE_MS));
        match self.removed.back_mut() {
            Some((last_ms, removed)) if *last_ms == until_ms => *removed += count,
            _ if count > 0 => self.removed.push_back((until_ms, count)),
            _ => {}
        }
    }
}

/// Counts events that were removed for their age, until the history records an event that reports their number. The
/// history records at most one such event a day.
#[derive(Debug)]
pub(super) struct UnreportedRemovals {
    count: u64,
    /// The time of the last event that reported removals, in milliseconds since 1970; `None` if there is no such event.
    reported_ms: Option<i64>,
}

impl UnreportedRemovals {
    pub(super) fn new(count: u64, reported_ms: Option<i64>) -> Self {
        Self { count, reported_ms }
    }

    pub(super) fn add(&mut self, count: u64) {
        self.count += count;
    }

    /// Returns how many events were removed for their age and not reported yet.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of removed events to report now, and begins to count from 0 again. Returns `None` if there is
    /// nothing to report, or if the last report is less than a day old by the wall clock. If somebody sets the clock,
    /// the next report can come earlier or later.
    pub(super) fn take(&mut self, now: ClockReading) -> Option<u64> {
        let is_due =
            self.reported_ms.is_none_or(|reported_ms| !(0..DAY_MS).contains(&(now.wall_ms - reported_ms)));
        if self.count == 0 || !is_due {
            return None;
        }
        self.reported_ms = Some(now.wall_ms);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: ClockReading = ClockReading { wall_ms: 1_795_442_400_000, boot_ms: 5_000_000 };
    const YEAR_MS: i64 = 365 * DAY_MS;
    const MAX_AGE_MS: i64 = 90 * DAY_MS;

    /// A run, driven minute by minute. Its index has `rows` events of an earlier run, one for each minute before the
    /// start.
    struct Run {
        expiry: Expiry,
        timeline: Timeline,
        rows: Vec<i64>,
        lost: Vec<(i64, u64)>,
    }

    impl Run {
        /// Starts a run whose clock is `ahead_ms` ahead.
        fn start(rows: i64, ahead_ms: i64) -> Self {
            let rows: Vec<i64> = (0..rows).rev().map(|n| START.wall_ms - n * MINUTE_MS).collect();
            let now = ClockReading { wall_ms: START.wall_ms + ahead_ms, ..START };
            let expiry = Expiry::new(MAX_AGE_MS, now, 1_000, rows.last().copied());
            Self { expiry, timeline: Timeline::new(now, 1_001, Vec::new()), rows, lost: Vec::new() }
        }

        /// Drives the run until `until_ms` after its start, with a clock that is `ahead_ms` ahead.
        fn drive(&mut self, from_ms: i64, until_ms: i64, ahead_ms: i64) {
            for after_ms in (from_ms..until_ms).step_by(60_000) {
                let wall_ms = START.wall_ms + after_ms + ahead_ms;
                let now = ClockReading { wall_ms, boot_ms: START.boot_ms + after_ms };
                // There is no new event, so no time needs correction.
                self.timeline.observe(now, 1_001);
                let Some(aged) = self.expiry.aged(now, &self.timeline) else { continue };
                let old = self.rows.partition_point(|at| *at < aged.before_ms);
                let rows = i64::try_from(self.rows.len()).unwrap();
                let removed = old.min(usize::try_from(aged.limit(rows)).unwrap());
                self.rows.drain(..removed);
                self.expiry.record_removed(now, removed as u64);
                self.lost.push((after_ms, removed as u64));
            }
        }

        fn lost(&self) -> u64 {
            self.lost.iter().map(|(_, count)| count).sum()
        }

        /// The most that was removed within any hour.
        fn most_in_an_hour(&self) -> u64 {
            let hour = |from_ms: i64| {
                let within = self.lost.iter().filter(|(at, _)| (from_ms..from_ms + HOUR_MS).contains(at));
                within.map(|(_, count)| count).sum()
            };
            self.lost.iter().map(|(at, _)| hour(*at)).max().unwrap_or(0)
        }
    }

    #[test]
    fn a_year_ahead_from_the_second_hour_on_takes_nothing_for_a_day_and_then_a_twentieth_an_hour() {
        let mut run = Run::start(100_000, 0);
        run.drive(0, 2 * HOUR_MS, 0);
        run.drive(2 * HOUR_MS, 26 * HOUR_MS, YEAR_MS);
        assert_eq!(run.lost(), 0);
        let mut rows = run.rows.len();
        for hour in 26..60 {
            run.drive(hour * HOUR_MS, (hour + 1) * HOUR_MS, YEAR_MS);
            assert!(run.rows.len() < rows && run.rows.len() >= rows - (rows / 20).max(1_000), "{hour}");
            rows = run.rows.len();
        }
        assert!(run.most_in_an_hour() <= 5_000, "{}", run.most_in_an_hour());
        assert_eq!(run.expiry.removed.len(), 1, "the log of it is bounded");
    }

    #[test]
    fn a_year_ahead_until_the_twenty_fifth_hour_takes_nothing_ever() {
        let mut run = Run::start(100_000, 0);
        run.drive(0, 2 * HOUR_MS, 0);
        run.drive(2 * HOUR_MS, 25 * HOUR_MS, YEAR_MS);
        run.drive(25 * HOUR_MS, 100 * HOUR_MS, 0);
        assert_eq!(run.lost(), 0);
        assert!(!run.lost.is_empty(), "age counts again");
    }

    #[test]
    fn a_year_ahead_at_the_start_takes_nothing_for_a_day() {
        let mut run = Run::start(10_000, YEAR_MS);
        run.drive(0, 24 * HOUR_MS, YEAR_MS);
        assert_eq!(run.lost(), 0);
        run.drive(24 * HOUR_MS, 25 * HOUR_MS, YEAR_MS);
        assert_eq!(run.lost(), 1_000, "at least a thousand may go");
    }

    #[test]
    fn a_run_that_goes_on_in_another_index_doubts_a_clock_that_is_far_past_what_is_there() {
        let mut run = Run::start(0, YEAR_MS);
        run.drive(0, 10 * HOUR_MS, YEAR_MS);
        let rows: Vec<i64> = (0..10_000).rev().map(|n| START.wall_ms - n * MINUTE_MS).collect();
        run.expiry.continue_with(2_000, rows.last().copied());
        run.rows = rows;
        run.drive(10 * HOUR_MS, 34 * HOUR_MS, YEAR_MS);
        assert_eq!(run.lost(), 0);
        let now = ClockReading {
            wall_ms: START.wall_ms + YEAR_MS + 34 * HOUR_MS,
            boot_ms: START.boot_ms + 34 * HOUR_MS,
        };
        run.timeline.observe(now, 1_001);
        assert_eq!(run.expiry.aged(now, &run.timeline).map(|aged| aged.up_to_id), Some(2_000));
        run.drive(34 * HOUR_MS, 35 * HOUR_MS, YEAR_MS);
        assert_eq!(run.lost(), 1_000);
    }

    #[test]
    fn a_year_ahead_for_a_while_takes_nothing_and_is_told_once() {
        let mut run = Run::start(10_000, 0);
        run.drive(0, 3 * HOUR_MS, 0);
        run.drive(3 * HOUR_MS, 3 * HOUR_MS + 90_000, YEAR_MS);
        let now = ClockReading {
            wall_ms: START.wall_ms + YEAR_MS + 3 * HOUR_MS,
            boot_ms: START.boot_ms + 3 * HOUR_MS,
        };
        assert!(run.expiry.far_to_report(now).is_some_and(|far_ms| far_ms >= YEAR_MS));
        assert_eq!(run.expiry.far_to_report(now), None);
        run.drive(3 * HOUR_MS + 120_000, 200 * HOUR_MS, 0);
        assert_eq!(run.lost(), 0);
    }

    #[test]
    fn a_clock_that_is_behind_is_relied_on_after_a_day() {
        let mut run = Run::start(1_000, -YEAR_MS);
        let believed = |run: &mut Run, hours: i64, ahead_ms: i64| {
            let now = ClockReading {
                wall_ms: START.wall_ms + hours * HOUR_MS + ahead_ms,
                boot_ms: START.boot_ms + hours * HOUR_MS,
            };
            run.timeline.observe(now, 1_001);
            run.expiry.aged(now, &run.timeline).map(|aged| aged.trusted_ms.is_some())
        };
        assert_eq!(believed(&mut run, 23, -YEAR_MS), Some(false));
        assert_eq!((believed(&mut run, 24, 0), believed(&mut run, 25, 0)), (None, Some(true)), "NTP set it");
        assert_eq!((believed(&mut run, 26, -YEAR_MS), believed(&mut run, 27, -YEAR_MS)), (None, Some(false)));
        assert_eq!(believed(&mut run, 50, -YEAR_MS), Some(true));
        assert_eq!(
            (believed(&mut run, 51, 0), believed(&mut run, 53, 0)),
            (None, None),
            "it is far past that"
        );
    }

    #[test]
    fn what_is_too_old_by_a_clock_that_holds_goes_after_the_first_hour() {
        let mut run = Run::start(MAX_AGE_MS / MINUTE_MS + 500, 0);
        run.drive(0, HOUR_MS, 0);
        assert_eq!(run.lost(), 0);
        run.drive(HOUR_MS, HOUR_MS + 60_000, 0);
        assert_eq!(run.lost(), 559);
        run.drive(HOUR_MS + 60_000, 3 * HOUR_MS, 0);
        assert_eq!(run.lost(), 678, "and then as they become too old");
    }

    #[test]
    fn a_run_of_months_is_not_far_past_its_start() {
        let mut run = Run::start(1_000, 0);
        let after_ms = 80 * DAY_MS;
        let now = ClockReading { wall_ms: START.wall_ms + after_ms, boot_ms: START.boot_ms + after_ms };
        assert_eq!(run.expiry.far_to_report(now), None);
        let aged = run.expiry.aged(now, &run.timeline).unwrap();
        assert_eq!(aged.up_to_id, 1_000, "nothing of this run is that old");
        let after_ms = 91 * DAY_MS;
        let now = ClockReading { wall_ms: START.wall_ms + after_ms, boot_ms: START.boot_ms + after_ms };
        assert_eq!(run.expiry.aged(now, &run.timeline).unwrap().up_to_id, i64::MAX);
    }

    #[test]
    fn what_went_is_told_once_a_day() {
        let at = |hours: i64| ClockReading { wall_ms: START.wall_ms + hours * HOUR_MS, ..START };
        let mut unreported = UnreportedRemovals::new(3, Some(at(-1).wall_ms));
        unreported.add(4);
        assert_eq!(unreported.take(at(0)), None);
        assert_eq!(unreported.take(at(23)), Some(7));
        assert_eq!(unreported.take(at(60)), None, "nothing went");
        unreported.add(1);
        assert_eq!(unreported.take(at(60)), Some(1));
    }
}
