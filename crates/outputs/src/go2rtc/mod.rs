//! The WebSocket of the players of go2rtc: one camera, as fragmented MP4 for Media Source Extensions, or as JPEG
//! pictures.
//!
//! [`PlayerSockets::upgrade`] makes a `PlayerSession` of a request. The client asks by a [`message`], and a `Player` gives the
//! frames. `docs/compat.md` describes the messages. Who is allowed to connect is not decided here.

mod link_probe;
pub mod message;
mod player;
mod session;
#[cfg(test)]
mod tests;
mod timeline;

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use framecast_hub::Hub;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::live::CloseReason;
use crate::video_packer::VideoPackers;
use crate::websocket::Wire;
use crate::{EndReason, Viewers, websocket};
use message::MAX_PLAYER_MESSAGE_BYTES;
use session::{Ending, PlayerSession, SocketContext};

/// The maximum length of the reason in a close frame, in bytes (RFC 6455 §5.5).
const MAX_REASON_BYTES: usize = 123;

/// Serves the players of go2rtc. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PlayerSockets {
    hub: Hub,
    viewers: Viewers,
    packers: VideoPackers,
    write_timeout: Duration,
    shutdown: CancellationToken,
}

impl PlayerSockets {
    /// Creates the server of players. It registers what they watch in `viewers`, disconnects a client that accepts no
    /// data for `write_timeout`, and ends all connections when `shutdown` is cancelled.
    pub fn new(hub: Hub, viewers: Viewers, write_timeout: Duration, shutdown: CancellationToken) -> Self {
        Self { hub, viewers, packers: VideoPackers::default(), write_timeout, shutdown }
    }

    /// Responds to a request for the WebSocket of the camera called `camera`. If there is no such camera, the client is
    /// told so on the WebSocket.
    ///
    /// The caller must first check whether a page of another site is allowed to connect, because browsers let any page
    /// try to connect.
    pub fn upgrade(&self, camera: &str, request: Request) -> Response {
        websocket::upgrade(request, PlayerSocket { sockets: self.clone(), camera: camera.to_owned() })
    }
}

/// The WebSocket of one player.
struct PlayerSocket {
    sockets: PlayerSockets,
    camera: String,
}

impl websocket::Handler for PlayerSocket {
    async fn serve<S>(self, stream: S, read_buf: Bytes, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let PlayerSockets { hub, viewers, packers, write_timeout, shutdown } = self.sockets;
        let wire = Wire::with_max_message(stream, &read_buf, write_timeout, MAX_PLAYER_MESSAGE_BYTES).await;
        let mut session =
            PlayerSession::new(wire, SocketContext { hub, viewers, packers, camera: self.camera, peer });
        let ending = tokio::select! {
            ending = session.serve() => ending,
            () = shutdown.cancelled() => CloseReason::Shutdown.into(),
        };
        debug!(?peer, ?ending, "a connection of a go2rtc player ended");
        // Nobody watches while the connection closes.
        let wire = session.into_wire(end_reason(&ending));
        let close_frame = close_frame(&ending);
        if close_frame.is_some() || ending == Ending::Connection(CloseReason::Closed) {
            wire.close(close_frame).await;
        }
    }
}

fn end_reason(ending: &Ending) -> EndReason {
    match ending {
        Ending::Camera(_) => EndReason::CameraEnded,
        Ending::Connection(CloseReason::Shutdown) => EndReason::Shutdown,
        Ending::Connection(CloseReason::Stalled) => EndReason::Stalled,
        Ending::Connection(CloseReason::Slow) => EndReason::Slow,
        Ending::Connection(_) => EndReason::Left,
    }
}

/// Returns the close code and the reason for the client; `None` if the client gets no close frame.
fn close_frame(ending: &Ending) -> Option<(u16, String)> {
    let (code, mut reason) = match ending {
        Ending::Camera(why) => (1001, why.clone()),
        Ending::Connection(CloseReason::TooLong) => {
            (1009, format!("the client sent a message of more than {MAX_PLAYER_MESSAGE_BYTES} bytes"))
        }
        Ending::Connection(close_reason) => return close_reason.close_frame(),
    };
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    Some((code, reason))
}
