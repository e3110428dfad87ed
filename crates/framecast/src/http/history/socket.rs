//! A WebSocket that sends events as they happen, each as a text message of JSON. The server ignores what the client
//! sends, but limits the client's messages as on the WebSocket `/api/live`, which sends pictures.

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use framecast_history::{Listener, Notification, StoredEvent};
use framecast_outputs::live::CloseReason;
use framecast_outputs::websocket::wire::{self, Wire};
use framecast_outputs::websocket::{self, ClientActivity, PING_INTERVAL};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The message to a client that missed events which the history no longer stores, in JSON.
const MISSED: &str = r#"{"missed":null}"#;

/// The WebSocket connection of one client that receives events.
pub(super) struct EventSocket {
    pub(super) listener: Listener,
    /// How long a client can accept no bytes before the server disconnects it.
    pub(super) write_timeout: Duration,
    pub(super) shutdown: CancellationToken,
}

impl websocket::Handler for EventSocket {
    async fn serve<S>(mut self, stream: S, read_buf: Bytes, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut wire = Wire::new(stream, &read_buf, self.write_timeout).await;
        let close_reason = match self.run(&mut wire).await {
            Ok(()) => CloseReason::Shutdown,
            Err(close_reason) => close_reason,
        };
        debug!(?peer, ending = close_reason.name(), "a client's connection to /api/events/live ended");
        if close_reason == CloseReason::Closed || close_reason.close_frame().is_some() {
            wire.close(close_reason.close_frame()).await;
        }
    }
}

impl EventSocket {
    /// Sends events to the client until the server shuts down, the client disconnects, or the connection fails.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
    ) -> Result<(), CloseReason> {
        let mut activity = ClientActivity::new(Instant::now());
        let mut ping_at = Instant::now() + PING_INTERVAL;
        loop {
            let is_idle = wire.is_idle();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(()),
                () = sleep_until(activity.idle_deadline()) => return Err(CloseReason::Stalled),
                // Pings are also sent while events come without a pause, because only the pongs show that the client is
                // there.
                () = sleep_until(ping_at), if is_idle => {
                    wire.begin(Message::Ping(Bytes::new()))?;
                    ping_at = Instant::now() + PING_INTERVAL;
                }
                event = poll_fn(|cx| wire.poll_event(cx, true)) => match event? {
                    wire::WireEvent::Flushed => {}
                    wire::WireEvent::Received(Message::Close(_)) => return Err(CloseReason::Closed),
                    wire::WireEvent::Received(_) => {
                        let now = Instant::now();
                        activity.message_received(now);
                        activity.count_message(now)?;
                    }
                },
                heard = self.listener.next(), if is_idle => match heard {
                    Some(Notification::Event(stored)) => wire.begin(Message::Text(text(&stored)))?,
                    Some(Notification::Missed) => wire.begin(Message::Text(MISSED.into()))?,
                    None => return Ok(()),
                },
            }
        }
    }
}

fn text(stored: &StoredEvent) -> Utf8Bytes {
    Utf8Bytes::try_from(stored.json().clone()).expect("JSON is UTF-8")
}
