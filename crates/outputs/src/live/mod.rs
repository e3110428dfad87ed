//! Any number of cameras over one connection: `/api/live`, a WebSocket whose client acknowledges each picture after
//! painting it.
//!
//! `routes` creates a `Session` for each client. [`message`] reads and writes the protocol, `Tiles` watch the cameras,
//! the [`scheduler`] decides what to send next, and the `Wire` sends it. `docs/live.md` specifies the protocol. Who is
//! allowed to connect is not decided here.

mod adaptation;
mod close_reason;
pub mod message;
pub mod scheduler;
mod session;
mod stream_choice;
#[cfg(test)]
mod tests;
mod thin_link;
mod throughput;
mod tiles;
mod video_tile;

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use framecast_hub::Hub;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use close_reason::{CloseCounts, CloseReason};

use crate::video_packer::VideoPackers;
use crate::websocket::Wire;
use crate::{Viewers, websocket};
use session::Session;
use tiles::Tiles;

/// The configuration of `/api/live`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The time after which the server disconnects a client that receives nothing.
    pub write_timeout: Duration,
    /// The counters of ended connections, by reason.
    pub counts: CloseCounts,
}

impl Default for Config {
    fn default() -> Self {
        Self { write_timeout: Duration::from_secs(10), counts: CloseCounts::default() }
    }
}

#[derive(Debug, Clone)]
struct Live {
    hub: Hub,
    viewers: Viewers,
    packers: VideoPackers,
    config: Config,
    shutdown: CancellationToken,
}

/// Returns the route `/api/live`. Each tile (a place on the client's page that shows a camera) is registered as one
/// viewer of this camera. Connections end when `shutdown` is cancelled.
///
/// The caller must first check whether a page of another site is allowed to connect, because browsers let any page try
/// to connect.
pub fn routes(hub: Hub, viewers: Viewers, config: Config, shutdown: CancellationToken) -> Router {
    let live = Live { hub, viewers, packers: VideoPackers::default(), config, shutdown };
    Router::new().route("/api/live", get(open).options(crate::options)).with_state(live)
}

async fn open(State(live): State<Live>, request: Request) -> Response {
    websocket::upgrade(request, live)
}

impl websocket::Handler for Live {
    async fn serve<S>(self, stream: S, read_buf: Bytes, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let wire = Wire::new(stream, &read_buf, self.config.write_timeout).await;
        let tiles = Tiles::new(self.hub.clone(), self.viewers.clone(), self.packers.clone(), peer);
        let mut session = Session::new(wire, tiles);
        let close_reason = tokio::select! {
            close_reason = session.serve() => close_reason,
            () = self.shutdown.cancelled() => CloseReason::Shutdown,
        };
        debug!(?peer, ending = close_reason.name(), "a client's connection to /api/live ended");
        self.config.counts.count(&close_reason);
        // Drop the tiles at once: nobody watches while the connection closes.
        let wire = session.into_wire();
        if close_reason == CloseReason::Closed || close_reason.close_frame().is_some() {
            wire.close(close_reason.close_frame()).await;
        }
    }
}
