//! The history in a SQLite file.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod behaviour;

use std::fs;
use std::path::{Path, PathBuf};

use behaviour::{Place, open_and_close, open_at};
use framecast_history::{Error, History, Location, Query, RecordError};
use framecast_hub::EventKind;
use framecast_testkit::{soon, until};
use futures_util::StreamExt;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("state/framecast.db")
    }
}

impl Place for Folder {
    fn location(&self) -> Location {
        Location::File(self.file())
    }
}

behaviour::tests!(Folder::new());

async fn refusal(path: &Path) -> String {
    let place = Location::File(path.to_owned());
    open_at(place).await.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let shown = path.display();
    fs::write(&path, "name,price\napple,1\n".repeat(100)).unwrap();
    assert_eq!(
        refusal(&path).await,
        format!("history: {shown} is not a database; name another file, or move this one away")
    );
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE stock (id)").unwrap();
    drop(other);
    assert_eq!(
        refusal(&path).await,
        format!("history: {shown} belongs to another program; name another file")
    );
    fs::remove_file(&path).unwrap();
    open_and_close(Location::File(path.clone())).await;
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(newer);
    let told = refusal(&path).await;
    assert!(
        told.contains(
            "was created by a newer Framecast (its tables have version 7, this Framecast supports up to 3)"
        ),
        "{told}"
    );
    fs::write(folder.path().join("file"), "").unwrap();
    let below = folder.path().join("file/x.db");
    let told = refusal(&below).await;
    assert!(told.starts_with(&format!("history: {} cannot be written: ", below.display())), "{told}");
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    let tables = behaviour::version_1::tables(" WITHOUT ROWID");
    let marks = "PRAGMA application_id = 1180922740; PRAGMA user_version = 1;";
    old.execute_batch(&format!("PRAGMA journal_mode = WAL; {tables} {marks}")).unwrap();
    drop(old);
    let ask = |text: &str| {
        let file = rusqlite::Connection::open(&path).unwrap();
        file.query_row(text, [], |row| row.get::<_, i64>(0)).unwrap().to_string()
    };
    behaviour::version_1::is_brought_up_to_date(Location::File(path.clone()), ask).await;
    assert_eq!(ask("SELECT user_version FROM pragma_user_version"), "3");
}

#[tokio::test]
async fn a_file_is_locked_by_whatever_name_it_is_reached() {
    let folder = Folder::new();
    let (_history, _tasks) = open_at(folder.location()).await.unwrap();
    let link = folder.0.path().join("link.db");
    std::os::unix::fs::symlink(folder.file(), &link).unwrap();
    let error = open_at(Location::File(link)).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
}

#[tokio::test]
async fn a_mark_finds_no_place_where_what_happens_still_does() {
    let folder = Folder::new();
    let (history, _tasks) = open_at(folder.location()).await.unwrap();
    let mark = || history.record(behaviour::event(0, EventKind::Mark));
    let other = || history.record(behaviour::event(0, EventKind::Lost));
    // Another program holds a write lock, so nothing is written.
    let blocking = rusqlite::Connection::open(folder.file()).unwrap();
    blocking.execute_batch("BEGIN IMMEDIATE").unwrap();
    while mark().is_ok() {}
    assert_eq!(mark().unwrap_err(), RecordError::Full);
    let before = history.stats();
    assert!(other().is_ok());
    let stats = history.stats();
    assert_eq!(
        (stats.dropped, before.dropped),
        (0, 0),
        "the client that marks gets the error, and the mark is not counted"
    );
    blocking.execute_batch("ROLLBACK").unwrap();
    soon("the events are written", history.flushed()).await;
    assert!(mark().is_ok());
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let folder = Folder::new();
    let (history, _tasks) = open_at(folder.location()).await.unwrap();
    // Another program holds a write lock, so nothing is written.
    let blocking = rusqlite::Connection::open(folder.file()).unwrap();
    blocking.execute_batch("BEGIN IMMEDIATE").unwrap();
    let long = || behaviour::event(0, EventKind::Lost).with_text("🦀".repeat(1000));
    let found_place = (0..10_000).take_while(|_| history.record(long()).is_ok()).count();
    // Each event has four thousand bytes of text, and as much of JSON.
    assert!((900..1_100).contains(&found_place), "{found_place}");
    blocking.execute_batch("ROLLBACK").unwrap();
    soon("the events are written", history.flushed()).await;
    assert!(history.record(long()).is_ok());
}

#[tokio::test]
async fn the_log_goes_back_into_the_database_while_someone_reads() {
    let folder = Folder::new();
    let (history, _tasks) = open_at(folder.location()).await.unwrap();
    behaviour::fill(&history, 5_000).await;
    let mut export = behaviour::export(&history);
    // The test reads the first pieces and then stops, like a stalled client.
    behaviour::next_piece(&mut export).await.unwrap().unwrap();
    behaviour::next_piece(&mut export).await.unwrap().unwrap();
    behaviour::fill(&history, 500).await;
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    let (busy, log, back): (i64, i64, i64) = other
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!((busy, log, back), (0, 0, 0), "nothing holds the log");
    drop(export);
}

#[tokio::test]
async fn a_file_that_breaks_ends_a_table_with_an_error() {
    let folder = Folder::new();
    let (history, _tasks) = open_at(folder.location()).await.unwrap();
    behaviour::fill(&history, 20_000).await;
    let mut export = behaviour::export(&history);
    behaviour::next_piece(&mut export).await.unwrap().unwrap();
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    let file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.set_len(8192).unwrap();
    let error = loop {
        match behaviour::next_piece(&mut export).await {
            Some(Ok(_)) => {}
            Some(Err(broken)) => break behaviour::cause(broken),
            None => panic!("the table ends as if it were whole"),
        }
    };
    assert!(matches!(error, Error::Sqlite { .. } | Error::NotADatabase { .. }), "{error}");
}

/// Takes the first row of all, removes all events from the database, and returns how many rows then still come.
async fn rows_that_were_read(history: &History, folder: &Folder) -> usize {
    let mut rows = history.rows(Query::default());
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    soon("the first row", rows.next()).await.unwrap().unwrap();
    // A transaction of the reader would hold this up: the first column says whether one did. The reader may still be
    // reading the second block.
    let is_held_up =
        || other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).unwrap();
    until("no transaction of the reader is open", || !is_held_up()).await;
    other.execute("DELETE FROM events", []).unwrap();
    soon("the other rows", rows.map(Result::unwrap).count()).await
}

#[tokio::test]
async fn the_database_works_only_for_rows_that_a_reader_asks_for() {
    let folder = Folder::new();
    let (history, _tasks) = open_at(folder.location()).await.unwrap();
    behaviour::fill(&history, 9_000).await;
    let count = rows_that_were_read(&history, &folder).await;
    assert!(
        (99..=499).contains(&count),
        "{count}: the first hundred and the block after it, of four hundred"
    );
}

#[tokio::test]
async fn few_rows_with_long_texts_are_read_at_once() {
    let folder = Folder::new();
    let (history, _tasks) = open_at(folder.location()).await.unwrap();
    for n in 0..200 {
        let long = behaviour::event(n, EventKind::Mark).with_text("🦀".repeat(1000));
        history.record(long).unwrap();
    }
    soon("the events are written", history.flushed()).await;
    let count = rows_that_were_read(&history, &folder).await;
    assert!((20..60).contains(&count), "{count}: two blocks of 100 KiB at most");
}
