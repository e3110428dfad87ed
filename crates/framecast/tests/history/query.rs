//! The parameters of queries, and refusals that name the bad one.

use std::collections::BTreeSet;
use std::time::Duration;

use framecast::SourceUrl;
use framecast_testkit::until_async;
use framecast_testkit_server::history_server::HistoryServer;
use serde_json::{Value, json};

#[tokio::test]
async fn what_cannot_be_asked_is_named_with_an_example() {
    let server = HistoryServer::start().await;
    for n in 0..3 {
        server.mark(&format!("mark {n}")).await;
    }
    let page = server.json("/api/events?kind=mark&limit=1").await;
    let cursor = format!("kind=lost&cursor={}", page["next"].as_str().unwrap());
    for (query, told, example) in [
        (
            "from=2026-11-23T15:00:00Z&to=2026-11-23T14:00:00Z",
            "from=2026-11-23T15:00:00Z: ",
            "like this: from=",
        ),
        ("from=2026-11-23T14:00:00", "from=2026-11-23T14:00:00: ", "2026-"),
        ("to=yesterday", "to=yesterday: ", "2026-"),
        ("from=0000-01-01T00:00:00Z", "from=0000-01-01T00:00:00Z: ", "1970"),
        ("to=99999-01-01T00:00:00Z", "to=99999-01-01T00:00:00Z: ", "as in"),
        ("from=%2B099999-01-01T00:00:00Z", "from=+099999-01-01T00:00:00Z: ", ""),
        ("camera=attic", "camera=attic: ", "camera=front"),
        ("camera=' OR 1=1 --", "camera=' OR 1=1 --: ", "camera=front"),
        ("camera=front%00", "camera=front\\u{0}: ", "camera=front"),
        ("camera=%ff", "camera=\u{fffd}: ", "camera=front"),
        ("kind=nothing", "kind=nothing: ", "lost"),
        ("kind=mark'; DELETE FROM events", "kind=mark'; DELETE FROM events: ", "lost"),
        ("format=xlsx", "xlsx", "csv"),
        ("order=id; DROP TABLE events", "order=id; DROP TABLE events: ", "newest or oldest"),
        ("limit=0", "limit=0: ", "limit=100"),
        ("limit=1e9", "limit=1e9: ", "limit=100"),
        ("since=forever", "since=forever: ", "24h"),
        ("cursor=AAAA", "cursor=AAAA: ", "`next`"),
        (cursor.as_str(), "cursor=", "the same as for the previous page"),
        ("after=1", "after=1: ", "known parameters: "),
        ("nonsense=1", "nonsense=1: ", "known parameters: camera"),
    ] {
        let answer = server.get(&format!("/api/events?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        let error = answer.error();
        assert!(error.contains(told) && error.contains(example), "{query}: {error}");
        // A table's name sets its format, and a listener may use `after`.
        let tables = ["/api/events.csv", "/history", "/api/events/live"];
        let taken = ["format", "", "after"];
        for (path, taken) in tables.iter().zip(taken) {
            if !taken.is_empty() && query.starts_with(taken) {
                continue;
            }
            let answer = server.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{path}?{query}");
        }
    }
    for (path, header, value) in [
        ("/api/events/live?after=x", "x", ""),
        ("/api/events/live", "last-event-id", "x"),
        ("/api/events/live", "last-event-id", "-1"),
    ] {
        let request = server.client.get(server.url(path)).header(header, value);
        let answer = framecast_testkit_server::history_server::ask(request).await.unwrap();
        assert_eq!(answer.status, 400, "{path} {value}");
        assert!(answer.error().contains("4711"), "{}", answer.error());
    }
    assert_eq!(server.json("/api/events?kind=mark").await["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn pages_give_each_event_once_while_more_come() {
    let server = HistoryServer::start().await;
    let mut marked = BTreeSet::new();
    for n in 0..53 {
        marked.insert(server.mark(&format!("mark {n}")).await);
    }
    for order in ["newest", "oldest"] {
        let (mut ids, mut next) = (Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let query = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
            let page = server.json(&format!("/api/events?kind=mark&limit=7&order={order}{query}")).await;
            let events = page["events"].as_array().unwrap();
            assert!(events.len() <= 7);
            ids.extend(events.iter().map(|event| event["id"].as_i64().unwrap()));
            next = page["next"].as_str().map(str::to_owned);
            if order == "newest" {
                server.mark("came later").await;
            }
        }
        if order == "newest" {
            assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
            assert_eq!(
                ids.into_iter().collect::<BTreeSet<_>>(),
                marked,
                "what came later is on no later page"
            );
        } else {
            assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
            assert!(ids.len() > marked.len() && ids[..marked.len()].iter().all(|id| marked.contains(id)));
        }
    }
}

#[tokio::test]
async fn camera_kind_and_time_choose() {
    let server = HistoryServer::start().await;
    for camera in ["front", "yard", "front"] {
        let answer = server.post(json!({"label": "m", "camera": camera}).to_string()).await;
        assert_eq!(answer.status, 201);
    }
    server.mark("of the server").await;
    let count = async |query: &str| {
        let page = server.json(&format!("/api/events?{query}")).await;
        page["events"].as_array().unwrap().len()
    };
    assert_eq!(count("camera=front").await, 2);
    assert_eq!(count("camera=front,yard").await, 3);
    assert_eq!(count("camera=front&camera=yard&kind=lost").await, 0);
    assert_eq!(count("kind=mark").await, 4);
    assert_eq!(count("kind=mark,started").await, 5);
    assert_eq!(count("since=1h&kind=mark").await, 4);
    let page = server.json("/api/events?kind=mark&order=oldest").await;
    let events: &Vec<Value> = page["events"].as_array().unwrap();
    let at = |n: usize| events[n]["at"].as_str().unwrap().to_owned();
    let before_last = events.iter().filter(|event| event["at"].as_str().unwrap() < at(3).as_str()).count();
    assert_eq!(count(&format!("kind=mark&to={}", at(3))).await, before_last);
    assert_eq!(count(&format!("kind=mark&from={}", at(3))).await, 4 - before_last);
}

#[tokio::test]
async fn a_camera_that_is_tried_again_and_again_does_not_fill_the_history() {
    let server = HistoryServer::with(|settings| {
        let camera = &mut settings.cameras[0];
        camera.source = SourceUrl::parse("exec:sleep 1000").unwrap();
        camera.stall_timeout = Some(Duration::from_millis(50));
        camera.idle_timeout = None;
    })
    .await;
    let opened = async || server.json("/api/cameras/front").await["opened"].as_u64().unwrap();
    until_async("it is opened three times", async || opened().await >= 3).await;
    let page = server.json("/api/events?camera=front&order=oldest").await;
    let kinds: Vec<&str> =
        page["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["opened", "stalled", "lost"]);
    server.stop().await;
}
