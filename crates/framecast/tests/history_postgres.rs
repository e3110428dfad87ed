//! The real program with a real PostgreSQL, which the test starts: Debian's package `postgresql`.
//!
//! ```text
//! cargo test -p framecast --test history_postgres
//! FRAMECAST_KILLS=100        how often the program is killed; 5 without it
//! ```
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use framecast_testkit::Postgres;
use framecast_testkit_server::kill;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_kills_and_nothing_is_there_twice() {
    let (database, folder) = (Postgres::start(), tempfile::tempdir().unwrap());
    kill::kill_while_writing(&kill::config(folder.path(), &database.url())).await;
    let rows = database.query("SELECT count(*) FROM framecast.events");
    assert_eq!(database.query("SELECT value FROM framecast.state WHERE key = 'rows'"), rows);
}
