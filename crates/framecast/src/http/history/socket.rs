//! A WebSocket that is told events as they happen: each one is a text message of JSON. What the client sends is not read
//! for meaning.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use framecast_history::{Heard, Kept, Listener};
use framecast_outputs::websocket;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::live::{HEARTBEAT, MISSED};

/// Nothing is expected of the client but what the protocol itself needs.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A client that listens.
pub(super) struct Client {
    pub(super) listener: Listener,
    /// A client that has taken nothing for this long is given up.
    pub(super) write_timeout: Duration,
    pub(super) shutdown: CancellationToken,
}

impl websocket::Client for Client {
    async fn serve<S>(self, stream: S, early: Bytes, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .read_buffer_size(MAX_MESSAGE_BYTES)
            .write_buffer_size(0);
        let ws =
            WebSocketStream::from_partially_read(stream, early.to_vec(), Role::Server, Some(config)).await;
        if let Err(error) = self.run(ws).await {
            debug!(?peer, %error, "a client of /api/events/live ended");
        }
    }
}

impl Client {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        mut ws: WebSocketStream<S>,
    ) -> Result<(), Error> {
        let mut beat_at = Instant::now() + HEARTBEAT;
        loop {
            let message = tokio::select! {
                heard = self.listener.next() => match heard {
                    Some(Heard::Event(kept)) => Message::Text(text(&kept)),
                    Some(Heard::Missed) => Message::Text(MISSED.into()),
                    None => return self.close(&mut ws).await,
                },
                received = ws.next() => match received {
                    // Pongs are sent by the library, with the next message or flush.
                    Some(Ok(message)) if !message.is_close() => {
                        self.in_time(ws.flush()).await?;
                        continue;
                    }
                    Some(Ok(_)) | None => return Ok(()),
                    Some(Err(error)) => return Err(error),
                },
                () = sleep_until(beat_at) => Message::Ping(Bytes::new()),
                () = self.shutdown.cancelled() => return self.close(&mut ws).await,
            };
            self.in_time(ws.send(message)).await?;
            beat_at = Instant::now() + HEARTBEAT;
        }
    }

    async fn close<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        ws: &mut WebSocketStream<S>,
    ) -> Result<(), Error> {
        let frame = CloseFrame { code: CloseCode::Away, reason: "the server ends".into() };
        self.in_time(ws.close(Some(frame))).await
    }

    async fn in_time<T>(&self, sending: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Error::Io(std::io::ErrorKind::TimedOut.into());
        timeout(self.write_timeout, sending).await.unwrap_or_else(|_| Err(late()))
    }
}

fn text(kept: &Kept) -> Utf8Bytes {
    Utf8Bytes::try_from(kept.json.clone()).expect("JSON is UTF-8")
}
