//! A WebSocket that sends events as they happen, each as a text message of JSON. The client's messages have the limits
//! of `/api/live`, and the server ignores their content.

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use framecast_history::{Heard, Kept, Listener};
use framecast_outputs::live::Ending;
use framecast_outputs::websocket::wire::{self, Wire};
use framecast_outputs::websocket::{self, PING_INTERVAL, Speech};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::live::MISSED;

/// A connected client.
pub(super) struct Client {
    pub(super) listener: Listener,
    /// The server disconnects a client that takes nothing for this long.
    pub(super) write_timeout: Duration,
    pub(super) shutdown: CancellationToken,
}

impl websocket::Client for Client {
    async fn serve<S>(mut self, stream: S, early: Bytes, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut wire = Wire::new(stream, &early, self.write_timeout).await;
        let ending = match self.run(&mut wire).await {
            Ok(()) => Ending::Shutdown,
            Err(ending) => ending,
        };
        debug!(?peer, ending = ending.name(), "a client of /api/events/live ended");
        if ending == Ending::Closed || ending.told().is_some() {
            wire.close(ending.told()).await;
        }
    }
}

impl Client {
    /// Sends events until the server ends, or something else ends the connection.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> Result<(), Ending> {
        let mut speech = Speech::new(Instant::now());
        let mut ping_at = Instant::now() + PING_INTERVAL;
        loop {
            let is_idle = wire.is_idle();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(()),
                () = sleep_until(speech.ends_at()) => return Err(Ending::Stalled),
                // Also while events come without a pause, because only its pongs show that the client is there.
                () = sleep_until(ping_at), if is_idle => {
                    wire.begin(Message::Ping(Bytes::new()))?;
                    ping_at = Instant::now() + PING_INTERVAL;
                }
                event = poll_fn(|cx| wire.poll_event(cx, true)) => match event? {
                    wire::Event::Flushed => {}
                    wire::Event::Received(Message::Close(_)) => return Err(Ending::Closed),
                    wire::Event::Received(_) => {
                        let now = Instant::now();
                        speech.hear(now);
                        speech.count(now)?;
                    }
                },
                heard = self.listener.next(), if is_idle => match heard {
                    Some(Heard::Event(kept)) => wire.begin(Message::Text(text(&kept)))?,
                    Some(Heard::Missed) => wire.begin(Message::Text(MISSED.into()))?,
                    None => return Ok(()),
                },
            }
        }
    }
}

fn text(kept: &Kept) -> Utf8Bytes {
    Utf8Bytes::try_from(kept.json().clone()).expect("JSON is UTF-8")
}
