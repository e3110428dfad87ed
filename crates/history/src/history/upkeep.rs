//! One pass of maintenance: note the time, correct the times of events, remove old events.

use std::time::{Duration, UNIX_EPOCH};

use framecast_hub::{Event, EventKind};
use tracing::{debug, info, warn};

use super::expiry::{Expiry, Untold};
use super::timeline::Correction;
use super::{HOUR_MS, Shared, writer};
use crate::Error;
use crate::clock::Now;
use crate::edition::Change;
use crate::index::{Found, Retention};

/// The state of maintenance between its passes.
#[derive(Debug)]
pub(super) struct Upkeep {
    max_age: Option<Duration>,
    max_rows: Option<u64>,
    expiry: Expiry,
    untold: Untold,
    /// The change in progress while shifts are being applied, which new tables wait for; and the number of events moved
    /// so far.
    change: Option<Change>,
    moved: u64,
}

impl Upkeep {
    /// For a run that begins `now` with what was `found`.
    pub(super) fn new(settings: &super::Settings, found: &Found, now: Now) -> Self {
        // Without a limit no event is ever too old. The run still notes which clock it trusts, for a later run.
        let max_age = settings.max_age.unwrap_or(Duration::MAX);
        let max_age_ms = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        let expiry = Expiry::new(max_age_ms, now, found.reserved, found.believed_ms);
        Self {
            max_age: settings.max_age,
            max_rows: settings.max_rows,
            expiry,
            untold: Untold::new(found.untold(), found.told_ms),
            change: None,
            moved: 0,
        }
    }

    /// Continues with what was `found` in another index.
    pub(super) fn go_on_with(&mut self, found: &Found) {
        self.expiry.go_on_with(found.reserved, found.believed_ms);
        self.untold = Untold::new(found.untold() + self.untold.count(), found.told_ms);
    }

    /// Removals for age that no event has reported yet.
    pub(super) fn untold(&self) -> u64 {
        self.untold.count()
    }

    /// Applies the rest of the shifts that are in progress.
    pub(super) async fn finish(&mut self, shared: &Shared) -> Result<(), Error> {
        while shared.lock().timeline.is_making() {
            self.correct(shared, shared.clock.now()).await?;
        }
        Ok(())
    }

    /// Does one pass; true if there is more to do at once. While the events are being moved from memory to the database
    /// (`is_between`), nothing is changed: a change in one place would be missing in the other.
    pub(super) async fn run_once(&mut self, shared: &Shared, is_between: bool) -> bool {
        let now = shared.clock.now();
        self.tell_clock(shared, now);
        if is_between {
            return false;
        }
        let corrected = self.correct(shared, now).await.unwrap_or_else(|error| failed(shared, &error));
        let pruned = self.prune(shared, now).await.unwrap_or_else(|error| failed(shared, &error));
        if !pruned {
            self.tell_pruned(shared, now);
        }
        corrected || pruned
    }

    /// Lets new tables start although times are not all corrected: the database is unavailable, perhaps for long.
    pub(super) fn let_tables_begin(&mut self) {
        self.change = None;
    }

    /// Notes the time, and logs why no event is removed for age.
    fn tell_clock(&mut self, shared: &Shared, now: Now) {
        let step = {
            let mut state = shared.lock();
            state.observe(now);
            state.timeline.step_to_tell(now)
        };
        if let Some((step_ms, has_room)) = step {
            let direction = if step_ms < 0 { "back" } else { "forward" };
            let by = shown(step_ms);
            if has_room {
                warn!(
                    "the machine's clock was set {direction} by {by}: no event is removed for its age (history_max_age) for \
                     an hour; if the clock holds until then, events that were recorded by the clock before get their time by \
                     this one"
                );
            } else {
                debug!("the machine's clock was set {direction} by {by} again");
            }
        }
        if let Some(far_ms) = self.max_age.and_then(|_| self.expiry.far_to_tell(now)) {
            warn!(
                "the machine's clock is {} past what it showed when it was last relied on: no event is removed for its age \
                 (history_max_age) until it was so for 24 hours without a restart; if the clock is wrong, set it right \
                 before that",
                shown(far_ms)
            );
        }
    }

    /// Corrects some times; true if there are more.
    async fn correct(&mut self, shared: &Shared, now: Now) -> Result<bool, Error> {
        let correction = {
            let mut state = shared.lock();
            let written = state.last_written();
            state.timeline.correction(now, written)
        };
        match correction {
            None => Ok(false),
            Some(Correction::Plan(shifts)) => {
                shared.index().plan(shifts.clone()).await?;
                writer::back(shared);
                shared.lock().timeline.planned(&shifts);
                Ok(true)
            }
            Some(Correction::Make) => {
                // Dropped if the database fails: tables then get an error instead of waiting.
                let change = self.change.take().unwrap_or_else(|| shared.editions.change());
                let shifted = shared.index().shift().await?;
                writer::back(shared);
                self.moved += shifted.moved;
                if shifted.is_done {
                    let mut state = shared.lock();
                    let shifts = state.timeline.made();
                    state.shift(&shifts);
                    let moved = std::mem::take(&mut self.moved);
                    info!(
                        "the machine's clock has held for an hour; {moved} events of before got their time by it"
                    );
                } else {
                    self.change = Some(change);
                }
                Ok(!shifted.is_done)
            }
        }
    }

    /// Removes some old events; true if there are more.
    async fn prune(&mut self, shared: &Shared, now: Now) -> Result<bool, Error> {
        let aged = self.expiry.aged(now, &shared.lock().timeline);
        let retention = Retention { aged, max_rows: self.max_rows };
        if retention.aged.is_none() && retention.max_rows.is_none() {
            return Ok(false);
        }
        let pruned = shared.index().prune(retention).await?;
        writer::back(shared);
        {
            let mut state = shared.lock();
            state.pruned = state.pruned.max(pruned.up_to);
        }
        self.expiry.took(now, pruned.aged);
        self.untold.add(pruned.aged);
        Ok(pruned.has_more)
    }

    /// Records an event with the number of removals for age, once a day.
    fn tell_pruned(&mut self, shared: &Shared, now: Now) {
        let Some(max_age) = self.max_age else { return };
        // Removals in memory are reported once the database can be opened.
        if shared.lock().is_homeless {
            return;
        }
        let Some(count) = self.untold.take(now) else { return };
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.wall_ms).unwrap_or(0));
        let age = humantime::format_duration(max_age);
        let event = Event::new(EventKind::Pruned, at)
            .counting(count)
            .saying(format!("older than history_max_age ({age}); larger values keep events for longer"));
        // If the report does not fit, a later one includes its count.
        if shared.record(event).is_err() {
            self.untold.add(count);
        }
    }
}

fn failed(shared: &Shared, error: &Error) -> bool {
    writer::away(shared, error);
    false
}

/// A duration in the largest unit that fits: days, hours or minutes.
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
