//! Maintenance of the stored events, in passes. Each pass reads the clock, corrects the times of events, and removes
//! old events.

use std::time::{Duration, UNIX_EPOCH};

use framecast_hub::{Event, EventKind};
use tracing::{debug, info, warn};

use super::expiry::{Expiry, UnreportedRemovals};
use super::timeline::Correction;
use super::{HOUR_MS, Shared, availability};
use crate::Error;
use crate::clock::ClockReading;
use crate::index::{IndexState, Retention};
use crate::revision::Change;

/// What maintenance remembers from one pass to the next.
#[derive(Debug)]
pub(super) struct Maintenance {
    max_age: Option<Duration>,
    max_rows: Option<u64>,
    expiry: Expiry,
    unreported: UnreportedRemovals,
    /// While this is `Some`, the times of stored events, and so their order, are being changed. A table that a client
    /// requests meanwhile waits for the end of the change.
    change: Option<Change>,
    /// The number of events whose times have been corrected so far, while corrections are being applied in several
    /// steps; otherwise 0.
    moved: u64,
}

impl Maintenance {
    /// Creates the state for a run of the server that begins at `now`. `index_state` is what the database contained
    /// when it was opened.
    pub(super) fn new(config: &super::Config, index_state: &IndexState, now: ClockReading) -> Self {
        // Without a limit no event is ever too old. The run still notes which clock it trusts, for a later run.
        let max_age = config.max_age.unwrap_or(Duration::MAX);
        let max_age_ms = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        let expiry = Expiry::new(max_age_ms, now, index_state.reserved, index_state.trusted_ms);
        Self {
            max_age: config.max_age,
            max_rows: config.max_rows,
            expiry,
            unreported: UnreportedRemovals::new(index_state.unreported(), index_state.reported_ms),
            change: None,
            moved: 0,
        }
    }

    /// Continues with another database, to which the history has moved. `index_state` is what that database contained
    /// when it was opened.
    pub(super) fn continue_with(&mut self, index_state: &IndexState) {
        self.expiry.continue_with(index_state.reserved, index_state.trusted_ms);
        self.unreported = UnreportedRemovals::new(
            index_state.unreported() + self.unreported.count(),
            index_state.reported_ms,
        );
    }

    /// Returns how many events were removed for their age and not reported yet by an event of the history.
    pub(super) fn unreported(&self) -> u64 {
        self.unreported.count()
    }

    /// Completes the corrections of event times that the database has begun to apply.
    pub(super) async fn finish(&mut self, shared: &Shared) -> Result<(), Error> {
        while shared.lock().timeline.is_applying() {
            self.correct_times(shared, shared.clock.now()).await?;
        }
        Ok(())
    }

    /// Does one pass, and returns true if there is more to do at once. If `is_relocating` is true, events are being
    /// moved from memory to the database. The pass then changes no event, because a change in one of the two places
    /// would be missing in the other.
    pub(super) async fn run_once(&mut self, shared: &Shared, is_relocating: bool) -> bool {
        let now = shared.clock.now();
        self.report_clock(shared, now);
        if is_relocating {
            return false;
        }
        let corrected =
            self.correct_times(shared, now).await.unwrap_or_else(|error| report_failure(shared, &error));
        let pruned = self.prune(shared, now).await.unwrap_or_else(|error| report_failure(shared, &error));
        if !pruned {
            self.report_pruned(shared, now);
        }
        corrected || pruned
    }

    /// Lets clients that wait for a table begin to read it, although not all event times are corrected yet. Called when
    /// the database is unavailable, because the corrections might then take long.
    pub(super) fn release_tables(&mut self) {
        self.change = None;
    }

    /// Passes the current time to the history's timeline, which notices when the clock was set. If the clock was set,
    /// or is far ahead of the last time at which the server trusted it, logs that no event is removed for its age.
    fn report_clock(&mut self, shared: &Shared, now: ClockReading) {
        let step = {
            let mut state = shared.lock();
            state.observe(now);
            state.timeline.step_to_log(now)
        };
        if let Some((step_ms, has_room)) = step {
            let direction = if step_ms < 0 { "back" } else { "forward" };
            let by = shown(step_ms);
            if has_room {
                warn!(
                    "the machine's clock was set {direction} by {by}: for an hour, the server pauses the \
                     removal of old events (history_max_age). If the clock stays stable for that hour, \
                     the server corrects the times of the events that it recorded before the change"
                );
            } else {
                debug!("the machine's clock was set once more, {direction} by {by}");
            }
        }
        if let Some(far_ms) = self.max_age.and_then(|_| self.expiry.far_to_report(now)) {
            warn!(
                "the machine's clock is {} ahead of its last reliable time: the server pauses the removal \
                 of old events (history_max_age) until it has run for 24 hours with this clock, without a \
                 restart. If the clock is wrong, set it right within these 24 hours",
                shown(far_ms)
            );
        }
    }

    /// Does the next step of correcting the times of stored events. Returns true if there are more steps to do.
    async fn correct_times(&mut self, shared: &Shared, now: ClockReading) -> Result<bool, Error> {
        let correction = {
            let mut state = shared.lock();
            let written = state.last_written();
            state.timeline.correction(now, written)
        };
        match correction {
            None => Ok(false),
            Some(Correction::Plan(shifts)) => {
                shared.index().plan(shifts.clone()).await?;
                availability::recovered(shared);
                shared.lock().timeline.planned(&shifts);
                Ok(true)
            }
            Some(Correction::Apply) => {
                // If the database fails, the change is dropped, so that tables get an error instead of waiting.
                let change = self.change.take().unwrap_or_else(|| shared.revisions.change());
                let shifted = shared.index().apply_shifts().await?;
                availability::recovered(shared);
                self.moved += shifted.moved;
                if shifted.is_done {
                    let mut state = shared.lock();
                    let shifts = state.timeline.take_applied();
                    state.shift_times(&shifts);
                    let moved = std::mem::take(&mut self.moved);
                    info!(
                        "the machine's clock has been stable for an hour, so the server corrected the times \
                         of {moved} earlier events"
                    );
                } else {
                    self.change = Some(change);
                }
                Ok(!shifted.is_done)
            }
        }
    }

    /// Removes some of the events that are too old or too many. Returns true if there are more to remove.
    async fn prune(&mut self, shared: &Shared, now: ClockReading) -> Result<bool, Error> {
        let aged = self.expiry.aged(now, &shared.lock().timeline);
        let retention = Retention { aged, max_rows: self.max_rows };
        if retention.aged.is_none() && retention.max_rows.is_none() {
            return Ok(false);
        }
        let pruned = shared.index().prune(retention).await?;
        availability::recovered(shared);
        {
            let mut state = shared.lock();
            state.pruned = state.pruned.max(pruned.up_to);
        }
        self.expiry.record_removed(now, pruned.aged);
        self.unreported.add(pruned.aged);
        Ok(pruned.has_more)
    }

    /// Records an event that tells how many events were removed for their age, at most once a day.
    fn report_pruned(&mut self, shared: &Shared, now: ClockReading) {
        let Some(max_age) = self.max_age else { return };
        // Removals in memory are reported once the database can be opened.
        if shared.lock().is_in_memory {
            return;
        }
        let Some(count) = self.unreported.take(now) else { return };
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.wall_ms).unwrap_or(0));
        let age = humantime::format_duration(max_age);
        let event = Event::new(EventKind::Pruned, at)
            .with_count(count)
            .with_text(format!("older than history_max_age ({age}); a larger value keeps events longer"));
        // If the report does not fit, a later one includes its count.
        if shared.record(event).is_err() {
            self.unreported.add(count);
        }
    }
}

fn report_failure(shared: &Shared, error: &Error) -> bool {
    availability::unavailable(shared, error);
    false
}

/// Returns a duration as text, such as `2 hours`, in the largest unit that fits: days, hours or minutes.
fn shown(ms: i64) -> String {
    let ms = ms.saturating_abs();
    let units = [(24 * HOUR_MS, "day"), (HOUR_MS, "hour"), (60_000, "minute")];
    let (unit_ms, unit) = units.into_iter().find(|(unit_ms, _)| ms >= *unit_ms).unwrap_or(units[2]);
    let count = ms / unit_ms;
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_shown_in_its_largest_unit() {
        let shown = [61_000, -119_000, 7_200_000, 86_400_000, -31_536_000_000].map(shown);
        assert_eq!(shown, ["1 minute", "1 minute", "2 hours", "1 day", "365 days"]);
    }
}
