//! What is to be taken away: how many of which, the same for both databases.

/// How many events are taken away in one go, so that writing never waits long for it.
const PRUNE_ROWS: i64 = 5_000;

/// Of all events this part may go in an hour for its age.
const AGED_PART: i64 = 20;

/// So many may, however few there are.
const AGED_ROWS: i64 = 1_000;

/// Of the most rows that there may be, marks that are beyond this part go first: whoever sets them cannot push out what
/// happened to the cameras.
const MARKS_PART: i64 = 10;

/// What is to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// What is too old; `None` where no age counts.
    pub(crate) aged: Option<Aged>,
    /// The oldest ones beyond so many.
    pub(crate) max_rows: Option<u64>,
}

/// Events that are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aged {
    /// What the clock shows, where a later run may rely on that.
    pub(crate) believed_ms: Option<i64>,
    /// Before this time, in milliseconds since 1970.
    pub(crate) before_ms: i64,
    /// With an id up to this one.
    pub(crate) up_to_id: i64,
    /// How many went for their age within the last hour.
    pub(crate) gone_in_hour: u64,
}

/// What goes because there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surplus {
    /// The oldest marks, which go first.
    pub(super) marks: i64,
    /// And then the oldest events of any kind.
    pub(super) any: i64,
}

/// What taking away came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The highest id of those that were taken away, ever.
    pub(crate) up_to: i64,
    /// How many went for their age this time.
    pub(crate) aged: u64,
    /// Whether there is more.
    pub(crate) has_more: bool,
}

impl Aged {
    /// How many of `rows` events may go now.
    pub(crate) fn limit(&self, rows: i64) -> i64 {
        let gone = i64::try_from(self.gone_in_hour).unwrap_or(i64::MAX);
        let an_hour = (rows.saturating_add(gone) / AGED_PART).max(AGED_ROWS);
        an_hour.saturating_sub(gone).clamp(0, PRUNE_ROWS)
    }
}

impl Retention {
    /// What goes of `rows` events, of which `marks` are marks, because there are too many.
    pub(super) fn surplus(&self, rows: i64, marks: i64) -> Surplus {
        let max_rows = self.max_rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(i64::MAX);
        let surplus = rows.saturating_sub(max_rows).clamp(0, PRUNE_ROWS);
        let marks = marks.saturating_sub(max_rows / MARKS_PART).clamp(0, surplus);
        Surplus { marks, any: surplus - marks }
    }

    /// Whether there may be more of which `gone` were taken: as many as go at once.
    pub(super) fn has_more(gone: i64) -> bool {
        gone >= PRUNE_ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_goes_in_an_hour_and_a_thousand_in_any_case() {
        let limit = |rows, gone_in_hour| {
            Aged { believed_ms: None, before_ms: 0, up_to_id: i64::MAX, gone_in_hour }.limit(rows)
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
