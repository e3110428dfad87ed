//! Clients that come and go: viewers, listeners and readers, polite ones and others.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use framecast_testkit::{cut_short, pause};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::cameras::STEADY;

/// The longest stay of a visitor.
const LONGEST_STAY: Duration = Duration::from_secs(6);

/// How a visitor reads.
#[derive(Clone, Copy)]
enum Reading {
    /// As fast as it can, up to this many bytes.
    UpTo(usize),
    /// A few bytes at a time.
    Slowly,
    /// Not at all, after the first bytes.
    Stops,
}

/// One visit. Returns what the server must not have answered.
pub(crate) async fn visit(address: SocketAddr, mut random: Rng) -> Option<String> {
    let stay = LONGEST_STAY.mul_f64(random.f64());
    let camera = if random.u8(..5) == 0 {
        format!("guest-{}", random.u8(..6))
    } else {
        (*random.choice(&STEADY).unwrap()).to_owned()
    };
    let kind = random.u8(..12);
    let target = match kind {
        0 => format!("/cameras/{camera}/stream.mjpg"),
        1 | 2 => format!("/cameras/{camera}/stream.mjpg?width={}&adapt", 160 << random.u8(..3)),
        3 => format!("/cameras/{camera}/snapshot.jpg?max_age={}", random.u8(..3)),
        4 => format!("/cameras/{camera}/snapshot.jpg?width=160&quality=40"),
        5 => (*random
            .choice(&["/", "/metrics", "/api/cameras", "/api/viewers", "/readyz", "/healthz"])
            .unwrap())
        .to_owned(),
        6 => (*random
            .choice(&["/api/events.csv", "/api/events.ndjson", "/api/events.json", "/history"])
            .unwrap())
        .to_owned(),
        7 => "/api/events/live?after=0".to_owned(),
        8 => "/video_feed?advance_headers".to_owned(),
        9 => return cut_short(stay, watch_page(address, random)).await.and(None),
        10 => return cut_short(stay, break_off(address, random)).await.and(None),
        _ => return cut_short(stay, mark(address)).await.and_then(Result::ok).flatten(),
    };
    let reading = match random.u8(..6) {
        0 => Reading::Slowly,
        1 => Reading::Stops,
        _ => Reading::UpTo(random.usize(1000..2_000_000)),
    };
    let head = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let read = read_answer(address, head.as_bytes(), reading, stay).await;
    read.ok().flatten().map(|status| format!("{target}: {status}"))
}

async fn connect(address: SocketAddr, is_small: bool) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if is_small {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(address).await
}

/// Sends `request` and reads for as long as `stay`. Returns a status that says that the server has an error.
async fn read_answer(
    address: SocketAddr,
    request: &[u8],
    reading: Reading,
    stay: Duration,
) -> io::Result<Option<u16>> {
    let mut first = Vec::new();
    let reads = async {
        let mut stream = connect(address, !matches!(reading, Reading::UpTo(_))).await?;
        stream.write_all(request).await?;
        while first.len() < 12 {
            if stream.read_buf(&mut first).await? == 0 {
                return Ok(());
            }
        }
        let mut bytes = vec![0; if matches!(reading, Reading::Slowly) { 64 } else { 16 * 1024 }];
        let mut taken = 0;
        while stream.read(&mut bytes).await? > 0 {
            taken += bytes.len();
            match reading {
                Reading::UpTo(most) if taken > most => break,
                Reading::UpTo(_) => {}
                Reading::Slowly => pause(Duration::from_millis(5)).await,
                Reading::Stops => pause(LONGEST_STAY).await,
            }
        }
        io::Result::Ok(())
    };
    let read = cut_short(stay, reads).await;
    if let Some(Err(error)) = read {
        return Err(error);
    }
    let status = first.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Ok(status.filter(|status| *status >= 500 && *status != 503))
}

/// Opens a page with some cameras, acknowledges what comes, or stops doing so.
async fn watch_page(address: SocketAddr, mut random: Rng) -> Option<()> {
    let stream = connect(address, random.bool()).await.ok()?;
    let (mut page, _) = client_async(format!("ws://{address}/api/live"), stream).await.ok()?;
    for tile in 0..random.usize(1..10) {
        let camera = STEADY[tile % STEADY.len()];
        let width = 160 << random.u8(..2);
        let ask =
            format!("{{\"type\":\"subscribe\",\"tile\":{tile},\"camera\":\"{camera}\",\"width\":{width}}}");
        page.send(Message::text(ask)).await.ok()?;
    }
    let acknowledges = random.u8(..4) > 0;
    while let Some(Ok(message)) = page.next().await {
        let Message::Binary(bytes) = message else { continue };
        if acknowledges {
            page.send(Message::text(acknowledgement(&bytes))).await.ok()?;
        }
    }
    Some(())
}

/// The acknowledgement of a picture of `/api/live`.
pub(crate) fn acknowledgement(picture: &[u8]) -> String {
    let tile = u16::from_be_bytes([picture[2], picture[3]]);
    let sequence = u32::from_be_bytes([picture[4], picture[5], picture[6], picture[7]]);
    format!("{{\"type\":\"ack\",\"tile\":{tile},\"sequence\":{sequence},\"paint_ms\":1}}")
}

/// Sends part of a request, or nothing.
async fn break_off(address: SocketAddr, mut random: Rng) -> Option<()> {
    let mut stream = connect(address, false).await.ok()?;
    let head = b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\nCookie: ";
    stream.write_all(&head[..random.usize(..head.len())]).await.ok()?;
    pause(LONGEST_STAY).await;
    Some(())
}

/// Sets a mark.
async fn mark(address: SocketAddr) -> io::Result<Option<String>> {
    let body = "{\"label\":\"chaos\"}";
    let request = format!(
        "POST /api/events HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let status = read_answer(address, request.as_bytes(), Reading::UpTo(10_000), LONGEST_STAY).await?;
    Ok(status.map(|status| format!("a mark: {status}")))
}
