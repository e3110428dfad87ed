//! Retention: which events to remove, and how many; the same for both databases.

/// The most events to remove in one go, so that writes never wait long for it.
const PRUNE_ROWS: i64 = 5_000;

/// At most this fraction (1/n) of all events may be removed for age in an hour.
const AGED_PART: i64 = 20;

/// This many events may be removed for age in an hour, even if they are more than that fraction.
const AGED_ROWS: i64 = 1_000;

/// When there are too many rows, marks beyond this fraction (1/n) of the allowed rows are removed first. So a program
/// that sets marks cannot push out the events of the cameras.
const MARKS_PART: i64 = 10;

/// Which events to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Events that are too old; `None` if none may be removed for age now.
    pub(crate) aged: Option<Aged>,
    /// The most rows to keep; the oldest beyond them are removed.
    pub(crate) max_rows: Option<u64>,
}

/// Which events are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aged {
    /// What the clock shows, if a later run may trust it.
    pub(crate) trusted_ms: Option<i64>,
    /// Events before this time, in milliseconds since 1970.
    pub(crate) before_ms: i64,
    /// Only events with ids up to this one.
    pub(crate) up_to_id: i64,
    /// The number of removals for age within the last hour.
    pub(crate) removed_in_hour: u64,
}

/// How many events to remove because there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surplus {
    /// The oldest marks, which are removed first.
    pub(super) marks: i64,
    /// Then the oldest events of any kind.
    pub(super) any: i64,
}

/// The result of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The highest id of all events that were ever removed.
    pub(crate) up_to: i64,
    /// How many were removed for age this time.
    pub(crate) aged: u64,
    /// Whether there is more to remove.
    pub(crate) has_more: bool,
}

impl Aged {
    /// How many of `rows` events may be removed now.
    pub(crate) fn limit(&self, rows: i64) -> i64 {
        let removed = i64::try_from(self.removed_in_hour).unwrap_or(i64::MAX);
        let an_hour = (rows.saturating_add(removed) / AGED_PART).max(AGED_ROWS);
        an_hour.saturating_sub(removed).clamp(0, PRUNE_ROWS)
    }
}

impl Retention {
    /// How many events to remove because there are too many: `rows` in all, of which `marks` are marks.
    pub(super) fn surplus(&self, rows: i64, marks: i64) -> Surplus {
        let max_rows = self.max_rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(i64::MAX);
        let surplus = rows.saturating_sub(max_rows).clamp(0, PRUNE_ROWS);
        let marks = marks.saturating_sub(max_rows / MARKS_PART).clamp(0, surplus);
        Surplus { marks, any: surplus - marks }
    }

    /// Whether there may be more to remove: yes, if `removed` is as many as one step may remove.
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
