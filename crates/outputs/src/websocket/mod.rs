//! Turns a request into a WebSocket: the handshake, and the handover of the socket.
//!
//! The request's [`Handover`] gives the socket, or hyper's upgrade if there is none. A [`Client`] then serves the
//! WebSocket. The caller must check first whether a page of another site may connect: browsers let any page try.

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

/// Serves the WebSocket of one client.
pub trait Client: Send + 'static {
    /// Serves one client to its end over `stream`; `early` are the bytes that were read before.
    fn serve<S>(self, stream: S, early: Bytes, peer: Option<IpAddr>) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

/// Whether the request asks for a WebSocket, valid or not.
pub fn is_asked(headers: &HeaderMap) -> bool {
    handshake::has_token(headers, header::UPGRADE, "websocket")
}

/// Answers a request for a WebSocket, and hands its socket to a [`Client`].
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
