//! A request that becomes a WebSocket: its opening, and whose socket it is then.
//!
//! The socket is taken by the request's [`Handover`], or by hyper's upgrade where there is none. What is said over it is
//! the [`Client`]'s business. Whether a page of another site may connect must have been checked: browsers let any page try.

mod handshake;
mod socket;
mod speech;
pub mod wire;

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

pub use speech::{Flood, MAX_MESSAGE_BYTES, MAX_MESSAGES, PING_INTERVAL, Speech};
pub use wire::Wire;

use crate::{Handover, Peer, Taken};

/// Who talks over the socket.
pub trait Client: Send + 'static {
    /// Serves one client to its end over `stream`, from which `early` has been read already.
    fn serve<S>(self, stream: S, early: Bytes, peer: Option<IpAddr>) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

/// Whether the request asks for a WebSocket, well or badly.
pub fn is_asked(headers: &HeaderMap) -> bool {
    handshake::has_token(headers, header::UPGRADE, "websocket")
}

/// Answers a request that is to become a WebSocket, and leaves its socket to `client`.
pub fn open(mut request: Request, client: impl Client) -> Response {
    let accepted = match handshake::key(&request) {
        Ok(key) => handshake::accepted(key),
        Err(refusal) => return *refusal,
    };
    let peer = Peer::of(request.extensions());
    if let Some(handover) = request.extensions_mut().remove::<Handover>() {
        handover.leave(move |Taken { socket, read, place }| {
            tokio::spawn(async move {
                client.serve(socket, read, peer).await;
                drop(place);
            });
        });
    } else if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => client.serve(TokioIo::new(upgraded), Bytes::new(), peer).await,
                Err(error) => debug!(%error, "the connection did not become a WebSocket"),
            }
        });
    } else {
        let message = "this connection cannot become a WebSocket";
        return *handshake::refused(StatusCode::BAD_REQUEST, message);
    }
    accepted
}
