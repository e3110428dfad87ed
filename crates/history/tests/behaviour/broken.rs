//! Readers and databases that leave in the middle of a query, in a real PostgreSQL.

use framecast_history::{Error, Location};
use framecast_testkit::{Postgres, soon, until};

use super::{cause, export, fill, next_piece, open_at};

/// A reader leaves a history at `location`, a place in `database`, while its query runs.
pub(crate) async fn reader_leaves(database: &Postgres, location: Location) {
    let (history, _tasks) = open_at(location).await.unwrap();
    fill(&history, 1_000).await;
    // The query for the first rows waits for this lock.
    let url = database.url();
    let connecting = tokio_postgres::connect(&url, tokio_postgres::NoTls);
    let (locker, connection) = soon("a connection", connecting).await.unwrap();
    let _connection = tokio::spawn(connection);
    let lock = "BEGIN; LOCK TABLE framecast.events IN ACCESS EXCLUSIVE MODE";
    soon("the lock", locker.batch_execute(lock)).await.unwrap();
    let active = || {
        database.query(
            "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'framecast' AND state <> 'idle' AND query LIKE 'SELECT%'",
        )
    };
    let mut table = export(&history);
    next_piece(&mut table).await.unwrap().unwrap();
    tokio::select! {
        piece = next_piece(&mut table) => panic!("the lock held up nothing: {piece:?}"),
        () = until("the query runs", || active() == "1") => {}
    }
    drop(table);
    soon("the lock is released", locker.batch_execute("COMMIT")).await.unwrap();
    until("the query has ended", || active() == "0").await;
}

/// `database` is killed while a table is read from `location`, a place in it.
pub(crate) async fn killed_under_table(mut database: Postgres, location: Location) {
    let (history, _tasks) = open_at(location).await.unwrap();
    fill(&history, 50_000).await;
    let mut table = export(&history);
    next_piece(&mut table).await.unwrap().unwrap();
    database.kill();
    let error = loop {
        match next_piece(&mut table).await {
            Some(Ok(_)) => {}
            Some(Err(broken)) => break cause(broken),
            None => panic!("the table ends as if it were whole"),
        }
    };
    assert!(matches!(error, Error::Postgres { .. }) && error.is_transient(), "{error}");
}
