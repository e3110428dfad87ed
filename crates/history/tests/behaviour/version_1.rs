//! A database with the tables of version 1 and three events.

use framecast_history::{Location, Order};
use framecast_hub::EventKind;

use super::driven::at;
use super::{NOON_MS, all, open_at, query};

/// The SQL that creates the tables of version 1. `without_rowid` is what SQLite needs after a table that is stored in
/// the order of its key.
pub(crate) fn tables(without_rowid: &str) -> String {
    format!(
        "CREATE TABLE events (
            at bigint NOT NULL, id bigint NOT NULL, kind text NOT NULL, camera text, text text, count bigint,
            PRIMARY KEY (at, id)
        ){without_rowid};
        CREATE UNIQUE INDEX events_id ON events (id);
        CREATE INDEX events_kind ON events (kind, at, id);
        CREATE INDEX events_camera ON events (camera, kind, at, id) WHERE camera IS NOT NULL;
        CREATE TABLE state (key text PRIMARY KEY, value bigint NOT NULL){without_rowid};
        INSERT INTO state VALUES ('reserved', 9000), ('rows', 3), ('pruned', 0);
        INSERT INTO events VALUES ({NOON_MS}, 1, 'mark', NULL, 'a fox', NULL), ({NOON_MS}, 2, 'lost', 'yard', 'why', NULL),
            ({NOON_MS}, 3, 'mark', 'yard', 'a parcel', NULL);"
    )
}

/// Opens the database and records a mark; `ask` then returns what its database answers.
pub(crate) async fn is_brought_up_to_date(location: Location, ask: impl Fn(&str) -> String) {
    let (history, tasks) = open_at(location.clone()).await.unwrap();
    let stored = all(&history, &query(Order::Oldest, |_| {}), 10).await;
    let texts: Vec<Option<&str>> = stored.iter().map(|entry| entry.text.as_deref()).collect();
    assert_eq!(texts, [Some("a fox"), Some("why"), Some("a parcel")]);
    let mut recorded = history.record(at(i64::try_from(NOON_MS).unwrap(), EventKind::Mark)).unwrap();
    assert!(recorded.written().await);
    tasks.close().await;
    drop(history);
    let state = |key: &str| ask(&format!("SELECT value FROM state WHERE key = '{key}'"));
    assert_eq!((state("rows"), state("marks"), state("untold")), ("4".into(), "3".into(), "0".into()));
    assert_eq!(ask("SELECT count(*) FROM shifts"), "0");
    // A second start must not migrate twice.
    let (history, tasks) = open_at(location).await.unwrap();
    assert_eq!(all(&history, &query(Order::Oldest, |_| {}), 10).await.len(), 4);
    tasks.close().await;
    drop(history);
    assert_eq!(state("marks"), "3");
}
