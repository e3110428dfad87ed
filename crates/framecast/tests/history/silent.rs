//! Clients that ask for events and never read them: the server disconnects them, while others get each event.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use framecast::{Event, EventKind};
use framecast_testkit::{soon, until_async};
use framecast_testkit_server::event_client::EventClient;
use framecast_testkit_server::history_server::HistoryServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// About six megabytes on the wire.
const EVENTS: u64 = 20_000;

/// A client that sends `request` and reads nothing.
async fn silent(server: &HistoryServer, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request =
        format!("GET /api/events/live?after=0 HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The number of bytes in `stream` up to its end, whether clean or not.
async fn rest(mut stream: TcpStream) -> usize {
    let (mut len, mut bytes) = (0, vec![0; 65536]);
    loop {
        match soon("the end", stream.read(&mut bytes)).await {
            Ok(0) => return len,
            Ok(more) => len += more,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return len,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_disconnected_and_others_hear_each_event() {
    let server = HistoryServer::with(|settings| settings.write_timeout = Duration::from_millis(500)).await;
    let mut event_client =
        EventClient::open(server.client.get(server.url("/api/events/live?camera=front"))).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let (sse, ws) = (silent(&server, "").await, silent(&server, upgrade).await);
    let text = "x".repeat(200);
    for n in 0..EVENTS {
        let event = Event::new(EventKind::Controls, SystemTime::now()).with_camera("front");
        server.events.send(event.with_text(text.as_str()).with_count(n));
        // The sender never blocks. But it must not send more events at once than the listener reads meanwhile, nor fill
        // the queue.
        if n % 200 == 199 {
            for heard in n - 199..=n {
                assert_eq!(event_client.next().await.unwrap()["count"], heard);
            }
        }
        if n % 2000 == 1999 {
            let has_room = async || server.metric("framecast_history_waiting_events").await <= 2000.0;
            until_async("the queue has room", has_room).await;
        }
    }
    let broken_off = "framecast_failed_connections_total{why=\"broken_off\"}";
    until_async("it is counted", async || server.metric(broken_off).await > 0.0).await;
    let all = usize::try_from(EVENTS).unwrap() * text.len();
    for (name, stream) in [("SSE", sse), ("a WebSocket", ws)] {
        let len = rest(stream).await;
        assert!(len < all / 2, "{name} was sent {len} bytes");
    }
    server.mark("the ear is as before").await;
    assert_eq!(server.metric("framecast_history_dropped_events_total").await, 0.0);
}
