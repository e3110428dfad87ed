//! The SQL of queries. SQLite and PostgreSQL get the same SQL, except for the character before the number of a
//! parameter.
//!
//! For any filter, the database finds the rows through an index, in the wanted order. Each combination of camera and
//! kind is a separate branch of the query, and the database merges the branches. So a filter with few matching rows
//! never scans other rows.

use crate::entry::Key;
use crate::query::{Filter, Order, Query};

/// The value of a parameter in an SQL query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SqlValue {
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

/// The text of an SQL query that selects events, and the values of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) text: String,
    pub(super) values: Vec<SqlValue>,
}

const COLUMNS: &str = "at, id, kind, camera, text, count";

/// Selects the names of all cameras that have stored events. Jumps from name to name in the index, instead of scanning
/// all rows.
pub(super) const CAMERAS: &str = "
WITH RECURSIVE name(camera) AS (
    SELECT min(camera) FROM events WHERE camera IS NOT NULL
    UNION ALL
    SELECT (SELECT min(events.camera) FROM events WHERE events.camera > name.camera) FROM name
    WHERE name.camera IS NOT NULL
) SELECT camera FROM name WHERE camera IS NOT NULL";

/// Stores the time of the newest event as the last time at which the server trusted the wall clock, if no such time is
/// stored yet. A stored time is never replaced by an event's time, because a wrong clock might stamp later events.
pub(super) const INIT_TRUSTED_CLOCK: &str =
    "UPDATE state SET value = coalesce((SELECT max(at) FROM events), 0)
WHERE key = 'believed' AND value = 0";

/// Selects the time of the newest event that reports how many events were removed for their age.
pub(super) const LAST_REPORT: &str = "SELECT max(at) FROM events WHERE kind = 'pruned'";

/// Returns the SQL that stores the last time at which the server trusted the wall clock. The SQL changes nothing if the
/// stored time is less than an hour off, so that the database is rarely written.
pub(super) fn trust(placeholder: char) -> String {
    format!(
        "UPDATE state SET value = {placeholder}1 WHERE key = 'believed' AND abs(value - {placeholder}1) >= 3600000"
    )
}

/// Returns the SQL that selects the oldest events before a given time, with ids up to a given id. Its parameters are
/// the maximum number of rows, the time and the id. `id + 0` in the SQL makes the database search by time, whatever its
/// planner estimates about the ids.
pub(super) fn aged(placeholder: char) -> String {
    format!(
        "SELECT at, id, kind FROM events WHERE at < {placeholder}2 AND id + 0 <= {placeholder}3 ORDER BY at, id LIMIT {placeholder}1"
    )
}

/// Returns the SQL that selects the oldest marks, the events that people and programs set. Its parameter is the maximum
/// number of rows.
pub(super) fn marks(placeholder: char) -> String {
    format!("SELECT at, id, kind FROM events WHERE kind = 'mark' ORDER BY at, id LIMIT {placeholder}1")
}

/// Returns the SQL that selects the oldest events. Its parameter is the maximum number of rows.
pub(super) fn oldest(placeholder: char) -> String {
    format!("SELECT at, id, kind FROM events ORDER BY at, id LIMIT {placeholder}1")
}

/// Returns the SQL that selects where one step of a time correction ends: the id of the last event among the first few
/// in a range of ids. Its parameters are the first and the last id of the range, and the maximum number of events.
pub(super) fn shifted(placeholder: char) -> String {
    format!(
        "SELECT max(id) FROM (SELECT id FROM events WHERE id BETWEEN {placeholder}1 AND {placeholder}2 ORDER BY id LIMIT {placeholder}3) AS chosen"
    )
}

impl Select {
    /// Creates the SQL that selects at most `limit` rows that `query` asks for, beginning after the position `after`.
    /// `placeholder` is the character before the number of each parameter (`?` for SQLite, `$` for PostgreSQL).
    pub(super) fn new(query: &Query, after: Option<Key>, limit: usize, placeholder: char) -> Self {
        let Query { filter, order } = query;
        let mut select = Self { text: String::new(), values: Vec::new() };
        for (n, (camera, kind)) in branches(filter).into_iter().enumerate() {
            if n > 0 {
                select.text.push_str(" UNION ALL ");
            }
            select.branch(filter, *order, after, camera, kind, placeholder);
        }
        let direction = match order {
            Order::Newest => "DESC",
            Order::Oldest => "ASC",
        };
        let order = format!(" ORDER BY at {direction}, id {direction} LIMIT ");
        select.text.push_str(&order);
        select.number(i64::try_from(limit).unwrap_or(i64::MAX), placeholder);
        select
    }

    /// Creates the SQL that selects at most `limit` rows with ids above `id`, in the order of ids.
    pub(super) fn after_id(id: i64, limit: usize, placeholder: char) -> Self {
        let mut select =
            Self { text: format!("SELECT {COLUMNS} FROM events WHERE id > "), values: Vec::new() };
        select.number(id, placeholder);
        select.text.push_str(" ORDER BY id LIMIT ");
        select.number(i64::try_from(limit).unwrap_or(i64::MAX), placeholder);
        select
    }

    fn branch(
        &mut self,
        filter: &Filter,
        order: Order,
        after: Option<Key>,
        camera: Option<&str>,
        kind: Option<&str>,
        placeholder: char,
    ) {
        self.text.push_str("SELECT ");
        self.text.push_str(COLUMNS);
        self.text.push_str(" FROM events");
        let mut word = " WHERE ";
        for (column, value) in [("camera = ", camera), ("kind = ", kind)] {
            if let Some(value) = value {
                self.condition(&mut word, column);
                self.value(SqlValue::Text(value.to_owned()), placeholder);
            }
        }
        // The key replaces the time bound on its side: it is stricter, and with both the database might choose the
        // wrong bound for the index.
        let (below, above) = match order {
            Order::Newest => (after, None),
            Order::Oldest => (None, after),
        };
        self.bound(&mut word, (">", above), (">=", filter.from_ms), placeholder);
        self.bound(&mut word, ("<", below), ("<", filter.to_ms), placeholder);
    }

    /// Appends to the SQL the condition that bounds the rows on one side. The bound is the position `key` if there is
    /// one, otherwise the time `at_ms`. Without either, appends nothing.
    fn bound(
        &mut self,
        word: &mut &str,
        (by_key, key): (&str, Option<Key>),
        (by_time, at_ms): (&str, Option<i64>),
        placeholder: char,
    ) {
        if let Some(key) = key {
            self.condition(word, &format!("(at, id) {by_key} ("));
            self.key(key, placeholder);
        } else if let Some(at_ms) = at_ms {
            self.condition(word, &format!("at {by_time} "));
            self.number(at_ms, placeholder);
        }
    }

    fn condition(&mut self, word: &mut &str, text: &str) {
        self.text.push_str(word);
        self.text.push_str(text);
        *word = " AND ";
    }

    fn key(&mut self, key: Key, placeholder: char) {
        self.number(key.at_ms, placeholder);
        self.text.push_str(", ");
        self.number(key.id, placeholder);
        self.text.push(')');
    }

    fn number(&mut self, number: i64, placeholder: char) {
        self.value(SqlValue::Integer(number), placeholder);
    }

    fn value(&mut self, value: SqlValue, placeholder: char) {
        self.values.push(value);
        self.text.push(placeholder);
        self.text.push_str(&self.values.len().to_string());
    }
}

/// Returns the camera and the kind that each branch of the query selects; `None` selects any. If the filter names
/// cameras but no kinds, there is a branch for each kind, because the database's index groups rows by camera and kind.
fn branches(filter: &Filter) -> Vec<(Option<&str>, Option<&str>)> {
    let kinds: Vec<&str> = filter.kinds.iter().map(|kind| kind.as_str()).collect();
    let all = framecast_hub::EventKind::ALL.map(|kind| kind.as_str());
    let cameras = filter.cameras.iter();
    match (filter.cameras.is_empty(), kinds.is_empty()) {
        (true, true) => vec![(None, None)],
        (true, false) => kinds.into_iter().map(|kind| (None, Some(kind))).collect(),
        (false, is_any) => {
            let kinds = if is_any { all.to_vec() } else { kinds };
            let of = |camera| kinds.iter().map(move |kind| (Some(camera), Some(*kind)));
            cameras.flat_map(|camera| of(camera.as_str())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use framecast_hub::EventKind;

    use super::*;

    #[test]
    fn a_page_of_everything_begins_at_its_key() {
        let mut query = Query::default();
        let select = Select::new(&query, None, 10, '?');
        let all = "SELECT at, id, kind, camera, text, count FROM events ORDER BY at DESC, id DESC LIMIT ?1";
        assert_eq!((select.text.as_str(), select.values.len()), (all, 1));
        query.filter.from_ms = Some(5);
        query.filter.to_ms = Some(9);
        let select = Select::new(&query, Some(Key { at_ms: 7, id: 3 }), 10, '$');
        assert!(select.text.contains("WHERE at >= $1 AND (at, id) < ($2, $3) ORDER BY"), "{}", select.text);
        let expected = [5, 7, 3, 10].map(SqlValue::Integer);
        assert_eq!(select.values, expected);
        query.order = Order::Oldest;
        let select = Select::new(&query, Some(Key { at_ms: 7, id: 3 }), 10, '$');
        assert!(
            select.text.contains("WHERE (at, id) > ($1, $2) AND at < $3 ORDER BY at ASC"),
            "{}",
            select.text
        );
    }

    #[test]
    fn each_camera_and_kind_is_a_branch_and_what_they_are_called_a_parameter() {
        let cameras = vec!["a'; DROP TABLE events".to_owned(), "b".to_owned()];
        let filter = Filter { cameras, kinds: vec![EventKind::Lost], ..Filter::default() };
        let mut query = Query { filter, order: Order::Newest };
        let select = Select::new(&query, None, 5, '$');
        assert_eq!(select.text.matches("WHERE camera = $").count(), 2);
        assert!(!select.text.contains("DROP"));
        query.filter.kinds.clear();
        let select = Select::new(&query, None, 5, '$');
        assert_eq!(select.text.matches("UNION ALL").count(), 2 * EventKind::ALL.len() - 1);
        assert_eq!(select.values.len(), 2 * 2 * EventKind::ALL.len() + 1);
    }
}
