//! The program with a SQLite file, killed while it writes.

use framecast_testkit_server::kill::{config, kill_while_writing};
use rusqlite::Connection;
use rusqlite::types::Value;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_kills_and_nothing_is_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    kill_while_writing(&config(folder.path(), path.to_str().unwrap())).await;
    let file = Connection::open(&path).unwrap();
    let ask = |sql: &str| file.query_row(sql, [], |row| row.get::<_, Value>(0)).unwrap();
    assert_eq!(ask("PRAGMA integrity_check"), Value::Text("ok".to_owned()));
    assert_eq!(ask("SELECT count(*) FROM events"), ask("SELECT value FROM state WHERE key = 'rows'"));
}
