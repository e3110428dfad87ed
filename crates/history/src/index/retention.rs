//! Decides which events to remove because they are too old or too many, and how many of them. The rules are the same
//! for SQLite and PostgreSQL.

/// The maximum number of events to remove in one transaction. The limit keeps writes from waiting long.
const PRUNE_ROWS: i64 = 5_000;

/// At most one in this many stored events is removed for its age within an hour.
const AGED_DIVISOR: i64 = 20;

/// This many events can always be removed for their age within an hour, even if they are more than one in
/// `AGED_DIVISOR`.
const AGED_ROWS: i64 = 1_000;

/// If there are more events than the history can keep, marks (events that people and programs set) are removed first,
/// down to one in this many of the events that it can keep. So a program that sets many marks cannot push out the
/// events of the cameras.
const MARKS_DIVISOR: i64 = 10;

/// The limits beyond which events are removed: their age and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Which events are too old; `None` if no event can be removed for its age now.
    pub(crate) aged: Option<Aged>,
    /// The maximum number of events to keep; beyond it, the oldest are removed. `None` for no limit.
    pub(crate) max_rows: Option<u64>,
}

/// Which events are too old to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aged {
    /// The current time of the wall clock, in milliseconds since 1970, for the database to store as the last trusted
    /// time. `None` if the server does not trust the clock.
    pub(crate) trusted_ms: Option<i64>,
    /// Events before this time are too old, unless their id is above `up_to_id`. In milliseconds since 1970.
    pub(crate) before_ms: i64,
    /// Events with ids above this one are not removed for their age, whatever their times are.
    pub(crate) up_to_id: i64,
    /// How many events were removed for their age within the last hour.
    pub(crate) removed_in_hour: u64,
}

/// How many events to remove because more are stored than the history can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surplus {
    /// How many of the oldest marks (events that people and programs set) to remove. They are removed before other
    /// events.
    pub(super) marks: i64,
    /// How many of the oldest events of any kind to remove, after `marks` were removed.
    pub(super) any: i64,
}

/// The result of one step of removing events that are too old or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The highest id of all events that were ever removed from the database.
    pub(crate) up_to: i64,
    /// The number of events that were removed for their age in this step.
    pub(crate) aged: u64,
    /// Whether another step might remove more events at once.
    pub(crate) has_more: bool,
}

impl Aged {
    /// Returns how many events can be removed for their age in this step. `rows` is the number of stored events.
    pub(crate) fn limit(&self, rows: i64) -> i64 {
        let removed = i64::try_from(self.removed_in_hour).unwrap_or(i64::MAX);
        let an_hour = (rows.saturating_add(removed) / AGED_DIVISOR).max(AGED_ROWS);
        an_hour.saturating_sub(removed).clamp(0, PRUNE_ROWS)
    }
}

impl Retention {
    /// Returns how many events to remove in this step because too many are stored. `rows` events are stored, and
    /// `marks` of them are marks, the events that people and programs set.
    pub(super) fn surplus(&self, rows: i64, marks: i64) -> Surplus {
        let max_rows = self.max_rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(i64::MAX);
        let surplus = rows.saturating_sub(max_rows).clamp(0, PRUNE_ROWS);
        let marks = marks.saturating_sub(max_rows / MARKS_DIVISOR).clamp(0, surplus);
        Surplus { marks, any: surplus - marks }
    }

    /// Returns whether another step might remove more events. That is so if this step removed as many events
    /// (`removed`) as one step can.
    pub(super) fn has_more(removed: i64) -> bool {
        removed >= PRUNE_ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_goes_in_an_hour_and_a_thousand_in_any_case() {
        let limit = |rows, removed_in_hour| {
            Aged { trusted_ms: None, before_ms: 0, up_to_id: i64::MAX, removed_in_hour }.limit(rows)
        };
        assert_eq!((limit(60_000, 0), limit(57_000, 3_000), limit(58_000, 2_000)), (3_000, 0, 1_000));
        assert_eq!((limit(5_000, 0), limit(4_001, 999), limit(4_000, 1_000)), (1_000, 1, 0));
        assert_eq!((limit(10_000_000, 0), limit(9_000_000, 499_000)), (PRUNE_ROWS, 0));
    }

    #[test]
    fn marks_beyond_a_tenth_go_before_all_else() {
        let retention = Retention { aged: None, max_rows: Some(1_000) };
        let surplus = |rows, marks| {
            let Surplus { marks, any } = retention.surplus(rows, marks);
            (marks, any)
        };
        assert_eq!(surplus(1_000, 900), (0, 0));
        assert_eq!(surplus(1_010, 900), (10, 0));
        assert_eq!(surplus(1_300, 200), (100, 200));
        assert_eq!(surplus(1_010, 100), (0, 10));
        assert_eq!(surplus(100_000, 100_000), (PRUNE_ROWS, 0));
        assert_eq!(
            Retention { aged: None, max_rows: None }.surplus(i64::MAX, 9),
            Surplus { marks: 0, any: 0 }
        );
    }
}
