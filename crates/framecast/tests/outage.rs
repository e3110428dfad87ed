//! A PostgreSQL that is unavailable while events come: the history keeps all events that fit into its queue, and drops
//! and counts the others.
//!
//! ```text
//! cargo test -p framecast --test outage
//! FRAMECAST_OUTAGE_SECONDS=30        how long it is away; 3 without it
//! ```
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::time::{Duration, SystemTime};

use framecast::{Event, EventKind, HistoryStorage, Settings};
use framecast_history::Address;
use framecast_testkit::{Authority, Postgres, Validity, until_async};
use framecast_testkit_server::event_client::EventClient;
use framecast_testkit_server::history_server::{HistoryServer, labelled};
use framecast_testkit_server::kill;
use framecast_testkit_server::program::{Running, framecast};
use tokio::time::{MissedTickBehavior, interval};

/// Two hundred events a second.
const EVERY: Duration = Duration::from_millis(5);

/// How many events may wait for the database.
const QUEUE: u64 = 10_000;

async fn server(database: &Postgres) -> HistoryServer {
    server_at(&database.url()).await
}

async fn server_at(url: &str) -> HistoryServer {
    let address = Address::parse(url, None).unwrap();
    HistoryServer::with(|settings: &mut Settings| {
        settings.history.storage = HistoryStorage::Postgres(address)
    })
    .await
}

/// Sends `count` events, numbered from `first`, one each [`EVERY`].
async fn tell(server: &HistoryServer, first: u64, count: u64) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for n in first..first + count {
        ticks.tick().await;
        let event = Event::new(EventKind::Controls, SystemTime::now()).with_camera("front");
        server.events.send(event.with_count(n));
    }
}

/// Waits until no event waits for the database.
async fn written(server: &HistoryServer) {
    let nothing_waits = async || server.metric("framecast_history_waiting_events").await == 0.0;
    until_async("all is written", nothing_waits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_events_a_second_outlive_an_outage_in_their_order() {
    let seconds = std::env::var("FRAMECAST_OUTAGE_SECONDS").map_or(3, |text| text.parse().unwrap());
    let mut database = Postgres::start();
    let server = server(&database).await;
    let mut event_client =
        EventClient::open(server.client.get(server.url("/api/events/live?camera=front"))).await;
    tell(&server, 0, 200).await;
    database.stop();
    let away = seconds * 200;
    let (marked, ()) = tokio::join!(server.post(labelled("while it is away")), tell(&server, 200, away));
    assert_eq!(marked.status, 202, "it waits: {}", marked.text());
    assert_eq!(server.metric("framecast_history_up").await, 0.0);
    assert_eq!(server.get("/api/events").await.status, 503);
    // A listener also gets the events that wait.
    for n in 0..200 + away {
        assert_eq!(event_client.next().await.unwrap()["count"], n);
    }
    database.restart();
    tell(&server, 200 + away, 200).await;
    written(&server).await;
    assert_eq!(server.metric("framecast_history_up").await, 1.0);
    assert_eq!(server.metric("framecast_history_dropped_events_total").await, 0.0);
    let counts = database.query("SELECT count FROM framecast.events WHERE kind = 'controls' ORDER BY id");
    let expected: Vec<String> = (0..400 + away).map(|n| n.to_string()).collect();
    assert_eq!(counts.lines().collect::<Vec<_>>(), expected);
    let mark = database.query("SELECT id, text FROM framecast.events WHERE kind = 'mark'");
    assert_eq!(mark, format!("{}|while it is away", marked.json()["id"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_comes_later_starts_without_it() {
    let database = Postgres::start();
    let url = database.url();
    comes_later(database, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_with_tls_comes_later_starts_without_it() {
    let (authority, folder) = (Authority::new("the site's authority"), tempfile::tempdir().unwrap());
    let certificate = authority.sign("db.test", Validity::Now);
    let database = Postgres::start_on_network(Some(&certificate), "hostssl all all ADDRESS trust");
    let root = folder.path().join("root.crt");
    std::fs::write(&root, authority.certificate()).unwrap();
    let keys = format!("sslmode=verify-full&sslrootcert={}", root.display());
    let url = database.network_url("db.test", &keys);
    comes_later(database, &url).await;
}

/// A server with a history at `url`, an address of `database`, starts while the database is away.
async fn comes_later(mut database: Postgres, url: &str) {
    database.stop();
    let server = server_at(url).await;
    tell(&server, 0, 100).await;
    let marked = server.post(labelled("before the database")).await;
    assert!(marked.status < 300, "{}", marked.text());
    assert_eq!(server.get("/api/events?kind=mark").await.status, 200, "it reads what it has in memory");
    database.restart();
    let stored = "SELECT count(*) FROM framecast.events WHERE kind IN ('controls', 'mark')";
    // The table with the version comes first, in a transaction of its own.
    let has_events = "SELECT to_regclass('framecast.events') IS NOT NULL";
    until_async("the events are in the database", async || {
        database.query(has_events) == "t" && database.query(stored) == "101"
    })
    .await;
    assert_eq!(server.metric("framecast_history_dropped_events_total").await, 0.0);
    tell(&server, 100, 10).await;
    written(&server).await;
    assert_eq!(database.query(stored), "111");
    server.stop().await;
}

#[test]
fn a_database_that_comes_later_and_refuses_the_server_is_told_once() {
    let (folder, access) = (tempfile::tempdir().unwrap(), "host all all ADDRESS scram-sha-256");
    let mut database = Postgres::start_on_network(None, access);
    database.stop();
    let config = kill::config(folder.path(), &database.network_url("db.test", ""));
    let mut server =
        Running::start(&mut framecast(&["--config", config.to_str().unwrap(), "--log", "debug"]));
    let away = server.line_with("the server keeps the newest 16 MiB of events in memory");
    assert!(away.contains("cannot connect"), "{away}");
    server.address();
    database.restart();
    let refused = server.line_with("; set FRAMECAST_HISTORY_PASSWORD");
    assert!(refused.contains("WARN") && refused.contains("and tries again"), "{refused}");
    let again = server.line_with("; set FRAMECAST_HISTORY_PASSWORD");
    assert!(again.contains("DEBUG"), "{again}");
    assert!(server.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_place_during_an_outage_is_counted_and_told_where_it_is_missing() {
    let mut database = Postgres::start();
    let server = server(&database).await;
    written(&server).await;
    database.stop();
    let mut event_client =
        EventClient::open(server.client.get(server.url("/api/events/live?camera=front"))).await;
    let more = QUEUE + 2_000;
    for n in 0..more {
        let event = Event::new(EventKind::Controls, SystemTime::now()).with_camera("front");
        server.events.send(event.with_count(n));
        // Sends no more at once than the listener can read meanwhile.
        if n % 100 == 99 && n < QUEUE {
            while event_client.next().await.unwrap()["count"] != n {}
        } else if n % 100 == 99 {
            let dropped = async || server.metric("framecast_history_dropped_events_total").await;
            until_async("they are dropped", async || dropped().await >= (n + 1 - QUEUE) as f64).await;
        }
    }
    let refused = server.post(labelled("no place")).await;
    assert_eq!(refused.status, 503);
    let expected = "cannot set the mark: the history's database is unavailable";
    assert!(refused.error().starts_with(expected), "{}", refused.error());
    let dropped = server.metric("framecast_history_dropped_events_total").await;
    assert_eq!(dropped, (more - QUEUE) as f64, "and not the mark, of which was told");
    database.restart();
    written(&server).await;
    let last = server.post(labelled("and on")).await;
    assert_eq!(last.status, 201, "{}", last.text());
    let told = database.query("SELECT sum(count) FROM framecast.events WHERE kind = 'dropped'");
    assert_eq!(told, dropped.to_string());
    let kept = "SELECT count(*), min(count), max(count) FROM framecast.events WHERE kind = 'controls'";
    assert_eq!(database.query(kept), format!("{QUEUE}|0|{}", QUEUE - 1));
    let order = "SELECT string_agg(kind, ' ') FROM
        (SELECT kind FROM framecast.events WHERE kind IN ('dropped', 'mark') ORDER BY id) AS told";
    assert_eq!(database.query(order), "dropped mark", "it stands where they are missing");
    server.stop().await;
}
