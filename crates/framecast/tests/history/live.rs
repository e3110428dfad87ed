//! Events as they happen: a client gets each once, whatever happens to its connection.

use std::collections::BTreeSet;

use framecast_testkit::soon;
use framecast_testkit_server::event_client::EventClient;
use framecast_testkit_server::history_server::{HistoryServer, ask, labelled};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

async fn websocket(
    server: &HistoryServer,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request =
        format!("ws://{}/api/events/live?{query}", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(server.address).await.unwrap();
    Ok(client_async(request, stream).await?.0)
}

async fn next_message(ws: &mut WebSocketStream<TcpStream>) -> Option<Value> {
    loop {
        match soon("a message", ws.next()).await?.unwrap() {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Four programs that set `count` marks each.
fn markers(server: &HistoryServer, count: usize) -> JoinSet<()> {
    let mut markers = JoinSet::new();
    for program in 0..4 {
        let (client, url) = (server.client.clone(), server.url("/api/events"));
        markers.spawn(async move {
            for n in 0..count {
                let answer = ask(client.post(&url).body(labelled(&format!("{program}/{n}")))).await.unwrap();
                assert_eq!(answer.status, 201);
            }
        });
    }
    markers
}

/// Fails unless `heard` are the marks of [`markers`], each once, in the order of their ids.
fn each_once(heard: &[(i64, String)], count: usize) {
    assert!(heard.is_sorted_by(|(a, _), (b, _)| a < b), "{heard:?}");
    let expected: BTreeSet<String> =
        (0..4).flat_map(|p| (0..count).map(move |n| format!("{p}/{n}"))).collect();
    assert_eq!(heard.iter().map(|(_, label)| label.clone()).collect::<BTreeSet<_>>(), expected);
}

fn mark(event: &Value) -> (i64, String) {
    (event["id"].as_i64().unwrap(), event["text"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_cut_off_twenty_times_misses_nothing_and_hears_nothing_twice() {
    const COUNT: usize = 150;
    let server = HistoryServer::start().await;
    let markers = markers(&server, COUNT);
    let (mut heard, mut cut) = (Vec::new(), 0);
    while heard.len() < 4 * COUNT {
        let last = heard.last().map_or(0, |(id, _)| *id);
        let request = match cut % 2 {
            0 => server.client.get(server.url(&format!("/api/events/live?kind=mark&after={last}"))),
            // As in a browser, which repeats the URL of its first request.
            _ => server
                .client
                .get(server.url("/api/events/live?kind=mark&after=0"))
                .header("Last-Event-ID", last),
        };
        let mut event_client = EventClient::open(request).await;
        let stays = if cut < 20 { fastrand::usize(0..20) } else { usize::MAX };
        for _ in 0..stays.min(4 * COUNT - heard.len()) {
            heard.push(mark(&event_client.next().await.unwrap()));
        }
        cut += 1;
    }
    assert!(cut >= 20, "{cut}");
    soon("all marks are set", markers.join_all()).await;
    each_once(&heard, COUNT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_told_the_same() {
    const COUNT: usize = 40;
    let server = HistoryServer::start().await;
    let mut event_client = EventClient::open(server.client.get(server.url("/api/events/live?after=0"))).await;
    let mut ws = websocket(&server, "after=0", &[]).await.unwrap();
    let markers = markers(&server, COUNT);
    let mut heard = Vec::new();
    assert_eq!(next_message(&mut ws).await.unwrap()["kind"], "started");
    assert_eq!(event_client.next().await.unwrap()["kind"], "started");
    while heard.len() < 4 * COUNT {
        if heard.len() == COUNT {
            // The client reconnects.
            let last = heard.last().map(|(id, _): &(i64, String)| id.to_string()).unwrap();
            ws = websocket(&server, "after=0", &[("last-event-id", &last)]).await.unwrap();
        }
        let event = next_message(&mut ws).await.unwrap();
        assert_eq!(event_client.next().await.unwrap(), event);
        heard.push(mark(&event));
    }
    soon("all marks are set", markers.join_all()).await;
    each_once(&heard, COUNT);
    ws.send(Message::text("what it says is not read")).await.unwrap();
    server.mark("and it still listens").await;
    for event in [next_message(&mut ws).await, event_client.next().await] {
        assert_eq!(event.unwrap()["text"], "and it still listens");
    }
    server.stop().await;
    // The last event may be that the server ends.
    while let Some(event) = next_message(&mut ws).await {
        assert_eq!(event["kind"], "stopped");
    }
    while let Some(event) = event_client.next().await {
        assert_eq!(event["kind"], "stopped");
    }
}

#[tokio::test]
async fn a_page_of_another_site_hears_nothing_over_a_websocket() {
    let server =
        HistoryServer::with(|settings| settings.cors_origins = vec!["http://wall.example".parse().unwrap()])
            .await;
    let own = format!("http://{}", server.address);
    for (origin, is_told) in
        [("http://evil.example", false), ("null", false), ("http://wall.example", true), (own.as_str(), true)]
    {
        let opened = websocket(&server, "", &[("origin", origin)]).await;
        match opened {
            Ok(_) => assert!(is_told, "{origin}"),
            Err(Error::Http(response)) => {
                assert!(!is_told && response.status() == 403, "{origin}: {response:?}")
            }
            Err(error) => panic!("{origin}: {error}"),
        }
    }
}

#[tokio::test]
async fn who_listens_hears_what_it_asked_for() {
    let server = HistoryServer::start().await;
    let listen = async |query: &str| {
        EventClient::open(server.client.get(server.url(&format!("/api/events/live?{query}")))).await
    };
    let (mut front, mut yard, mut all) =
        (listen("camera=front").await, listen("camera=yard&kind=mark").await, listen("").await);
    for (label, camera) in [("1", Some("front")), ("2", None), ("3", Some("yard")), ("4", Some("front"))] {
        assert_eq!(server.post(json!({"label": label, "camera": camera}).to_string()).await.status, 201);
    }
    for (event_client, expected) in
        [(&mut front, &["1", "4"][..]), (&mut yard, &["3"]), (&mut all, &["1", "2", "3", "4"])]
    {
        for label in expected {
            assert_eq!(event_client.next().await.unwrap()["text"], *label);
        }
    }
}

#[tokio::test]
async fn where_nothing_happens_something_is_sent_every_fifteen_seconds() {
    let server = HistoryServer::start().await;
    let mut event_client = EventClient::open(server.client.get(server.url("/api/events/live"))).await;
    assert_eq!(event_client.piece().await.unwrap(), "retry: 1000");
    tokio::time::pause();
    // The heartbeat has the position but no event.
    assert!(event_client.piece().await.unwrap().starts_with(":\nid: "));
    let begun = Instant::now();
    let beat = event_client.piece().await.unwrap();
    assert!(beat.starts_with(":\nid: ") && !beat.contains("data"), "{beat}");
    assert_eq!(begun.elapsed().as_secs(), 15, "by the paused clock");
}

/// The close code of the server.
async fn close_code(ws: &mut WebSocketStream<TcpStream>) -> u16 {
    loop {
        match soon("the end", ws.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("it ended without a code: {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_says_too_much_over_a_websocket_is_told_so_by_a_code() {
    let server = HistoryServer::start().await;
    let mut ws = websocket(&server, "", &[]).await.unwrap();
    ws.send(Message::text("x".repeat(4096))).await.unwrap();
    ws.send(Message::text("x".repeat(4097))).await.unwrap();
    assert_eq!(close_code(&mut ws).await, 1009);
    let mut ws = websocket(&server, "", &[]).await.unwrap();
    // More than fit into a second, however slow this machine is at the moment.
    for _ in 0..20_000 {
        if ws.send(Message::Ping("x".into())).await.is_err() {
            break;
        }
    }
    assert_eq!(close_code(&mut ws).await, 1008);
    let mut ws = websocket(&server, "", &[]).await.unwrap();
    ws.get_mut().write_all(&[0xff; 100]).await.unwrap();
    assert_eq!(close_code(&mut ws).await, 1002);
    server.mark("it goes on").await;
}

#[tokio::test]
async fn a_websocket_of_whose_client_nothing_is_heard_ends() {
    let server = HistoryServer::start().await;
    let mut ws = websocket(&server, "", &[]).await.unwrap();
    // Answers no ping: the test reads the socket directly, because the library would answer.
    tokio::time::pause();
    let begun = Instant::now();
    let (mut len, mut bytes) = (0, [0; 1024]);
    loop {
        match soon("the end", ws.get_mut().read(&mut bytes)).await.unwrap() {
            0 => break,
            more => len += more,
        }
    }
    let seconds = begun.elapsed().as_secs_f64().round();
    assert_eq!(seconds, 45.0, "by the paused clock");
    assert!(len < 20, "pings alone: {len} bytes");
}
