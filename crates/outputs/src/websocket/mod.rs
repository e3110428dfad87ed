//! Turns a request into a WebSocket: the handshake, and the handover of the socket.
//!
//! The socket comes from the request's [`Hijack`] or, if there is none, from hyper's upgrade. A [`Handler`] then serves
//! the WebSocket. The caller must first check whether a page of another site is allowed to connect, because browsers
//! let any page try to connect.

mod client_activity;
mod handshake;
pub mod wire;
mod zero_copy;

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

pub use client_activity::{
    ClientActivity, MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_SECOND, PING_INTERVAL, TooManyMessages,
};
pub use wire::Wire;

use crate::{Hijack, HijackedConnection, Peer};

/// Serves the WebSocket of one client.
pub trait Handler: Send + 'static {
    /// Serves one client over `stream` until the connection ends. `read_buf` contains the bytes that the
    /// client sent after its request and that the HTTP server has already read from `stream`.
    fn serve<S>(self, stream: S, read_buf: Bytes, peer: Option<IpAddr>) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static;
}

/// Returns whether the request asks for a WebSocket, even if the request is not valid.
pub fn is_upgrade_request(headers: &HeaderMap) -> bool {
    handshake::has_token(headers, header::UPGRADE, "websocket")
}

/// Responds to a request for a WebSocket, and hands the socket to a [`Handler`].
pub fn upgrade(mut request: Request, handler: impl Handler) -> Response {
    let accepted = match handshake::request_key(&request) {
        Ok(key) => handshake::accept_response(key),
        Err(refusal) => return *refusal,
    };
    let peer = Peer::from_extensions(request.extensions());
    if let Some(hijack) = request.extensions_mut().remove::<Hijack>() {
        hijack.set_handler(move |HijackedConnection { socket, read_buf, permit }| {
            tokio::spawn(async move {
                handler.serve(socket, read_buf, peer).await;
                drop(permit);
            });
        });
    } else if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => handler.serve(TokioIo::new(upgraded), Bytes::new(), peer).await,
                Err(error) => debug!(%error, "the connection did not become a WebSocket"),
            }
        });
    } else {
        let message = "this connection cannot become a WebSocket";
        return *handshake::reject_response(StatusCode::BAD_REQUEST, message);
    }
    accepted
}
