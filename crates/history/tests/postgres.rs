//! The history in a real PostgreSQL, which these tests start: Debian's package `postgresql`.
//!
//! ```sh
//! cargo test -p framecast-history --test postgres
//! ```
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod behaviour;

use std::time::SystemTime;

use behaviour::{Place, open_and_close, open_at};
use framecast_history::{Address, Error, Location};
use framecast_hub::{Event, EventKind};
use framecast_testkit::{Postgres, soon, until};

struct Database(Postgres);

impl Place for Database {
    fn location(&self) -> Location {
        Location::Postgres(Address::parse(&self.0.url(), None).unwrap())
    }
}

fn database() -> Database {
    Database(Postgres::start())
}

behaviour::tests!(database());

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_with_its_address() {
    let database = database();
    open_and_close(database.location()).await;
    database.0.query("UPDATE framecast.version SET number = 9");
    let told = open_at(database.location()).await.map(drop).unwrap_err();
    assert!(
        matches!(&told, Error::Newer { place, found: 9, .. } if place.starts_with("postgres:/") && !place.contains("framecast@")),
        "{told}"
    );
    let url = database.0.url().replace("/postgres?", "/nowhere?");
    let told = open_at(Location::Postgres(Address::parse(&url, None).unwrap())).await.map(drop).unwrap_err();
    assert!(
        told.to_string().contains("database \"nowhere\" does not exist") && !told.is_transient(),
        "{told}"
    );
    let url = "postgres://framecast@/postgres?host=/nonexistent";
    let told = open_at(Location::Postgres(Address::parse(url, None).unwrap())).await.map(drop).unwrap_err();
    assert!(told.is_transient(), "{told}");
}

#[tokio::test]
async fn a_database_of_version_1_is_brought_up_to_date() {
    let database = database();
    let tables = behaviour::version_1::tables("");
    database.0.query(&format!(
        "CREATE SCHEMA framecast; SET search_path TO framecast; CREATE TABLE version (number bigint NOT NULL);
         INSERT INTO version VALUES (1); {tables}"
    ));
    let ask = |text: &str| database.0.query(&format!("SET search_path TO framecast; {text}"));
    behaviour::version_1::is_brought_up_to_date(database.location(), ask).await;
    assert_eq!(ask("SELECT number FROM version"), "3");
}

#[tokio::test]
async fn what_happens_while_the_database_is_away_is_written_when_it_is_back_in_its_order() {
    let mut database = database();
    let (history, _tasks) = open_at(database.location()).await.unwrap();
    behaviour::fill(&history, 10).await;
    database.0.stop();
    let mut ids = Vec::new();
    for n in 0..300 {
        let event = Event::new(EventKind::Mark, SystemTime::now()).with_count(n);
        ids.push(history.record(event).unwrap().stored.entry.id);
    }
    until("the database is known to be away", || history.stats().is_unavailable).await;
    let stats = history.stats();
    assert_eq!((stats.waiting, stats.dropped), (300, 0));
    database.0.restart();
    soon("the events are written", history.flushed()).await;
    let counts = database.0.query("SELECT count FROM framecast.events WHERE count IS NOT NULL ORDER BY id");
    let expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(counts.lines().collect::<Vec<_>>(), expected);
    assert_eq!(database.0.query("SELECT value FROM framecast.state WHERE key = 'rows'"), "310");
}

#[tokio::test]
async fn what_finds_no_place_while_the_database_is_away_is_counted_and_told() {
    let mut database = database();
    let (history, _tasks) = open_at(database.location()).await.unwrap();
    database.0.stop();
    let told = |n| Event::new(EventKind::Controls, SystemTime::now()).with_count(n);
    let stored = (0..10_500).filter(|n| history.record(told(*n)).is_ok()).count();
    let stats = history.stats();
    assert_eq!((stored as u64 + stats.dropped, stats.waiting), (10_500, 10_000));
    database.0.restart();
    soon("the events are written", history.flushed()).await;
    // The event that reports the loss waits for room, and may not be written yet.
    let told = "SELECT count(*) FROM framecast.events WHERE kind = 'dropped'";
    until("the loss is told", || database.0.query(told) != "0").await;
    let dropped = database.0.query("SELECT count FROM framecast.events ORDER BY id DESC LIMIT 1");
    assert_eq!(dropped, stats.dropped.to_string());
    let marks = database
        .0
        .query("SELECT count(*), min(count), max(count) FROM framecast.events WHERE kind = 'controls'");
    assert_eq!(marks, format!("{stored}|0|{}", stored - 1));
}

#[tokio::test]
async fn a_reader_that_leaves_ends_its_query() {
    let database = database();
    behaviour::broken::reader_leaves(&database.0, database.location()).await;
}

#[tokio::test]
async fn a_database_that_is_killed_ends_a_table_with_an_error() {
    let database = database();
    let location = database.location();
    behaviour::broken::killed_under_table(database.0, location).await;
}
