//! Any number of cameras over one connection: `/api/live`, a WebSocket whose pictures are acknowledged when painted.
//!
//! `routes` → a `Session` per client: [`message`] reads and writes the protocol, `Tiles` watch the cameras, the
//! [`scheduler`] decides what goes next, the `Wire` carries it. The protocol is in `docs/live.md`. Who may connect is
//! the server's to decide.

mod ending;
mod handshake;
pub mod message;
pub mod scheduler;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod throughput;
mod tiles;
mod wire;

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use framecast_hub::Hub;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use ending::{Counts, Ending};

use crate::{Handover, Peer, Taken, Viewers};
use session::Session;
use tiles::Tiles;
use wire::Wire;

/// How connections are served.
#[derive(Debug, Clone)]
pub struct Config {
    /// A client that has taken nothing for this long is given up.
    pub write_timeout: Duration,
    /// Where endings are counted.
    pub counts: Counts,
}

impl Default for Config {
    fn default() -> Self {
        Self { write_timeout: Duration::from_secs(10), counts: Counts::default() }
    }
}

#[derive(Debug, Clone)]
struct Live {
    hub: Hub,
    viewers: Viewers,
    config: Config,
    shutdown: CancellationToken,
}

/// `/api/live`. Each tile is a viewer of its camera. Connections end when `shutdown` is cancelled.
///
/// The socket is taken by the request's [`Handover`], or by hyper's upgrade where there is none. Whether a page of another
/// site may connect must have been checked: browsers let any page try.
pub fn routes(hub: Hub, viewers: Viewers, config: Config, shutdown: CancellationToken) -> Router {
    let live = Live { hub, viewers, config, shutdown };
    Router::new().route("/api/live", get(open).options(crate::options)).with_state(live)
}

async fn open(State(live): State<Live>, mut request: Request) -> Response {
    let accepted = match handshake::key(&request) {
        Ok(key) => handshake::accepted(key),
        Err(refusal) => return *refusal,
    };
    let peer = Peer::of(request.extensions());
    if let Some(handover) = request.extensions_mut().remove::<Handover>() {
        handover.leave(move |Taken { socket, read, place }| {
            tokio::spawn(async move {
                live.run(socket, &read, peer).await;
                drop(place);
            });
        });
    } else if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => live.run(TokioIo::new(upgraded), &[], peer).await,
                Err(error) => debug!(%error, "the connection did not become a WebSocket"),
            }
        });
    } else {
        let message = "this connection cannot become a WebSocket";
        return *handshake::refused(StatusCode::BAD_REQUEST, message);
    }
    accepted
}

impl Live {
    /// Serves one client to its end.
    async fn run<S>(&self, stream: S, early: &[u8], peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let wire = Wire::new(stream, early, self.config.write_timeout).await;
        let tiles = Tiles::new(self.hub.clone(), self.viewers.clone(), peer);
        let mut session = Session::new(wire, tiles);
        let ending = tokio::select! {
            ending = session.serve() => ending,
            () = self.shutdown.cancelled() => Ending::Shutdown,
        };
        debug!(?peer, ending = ending.name(), "live connection ended");
        self.config.counts.count(&ending);
        // Its tiles leave at once: nobody watches while the last words are said.
        let wire = session.into_wire();
        if ending == Ending::Closed || ending.told().is_some() {
            wire.close(ending.told()).await;
        }
    }
}
