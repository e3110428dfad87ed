//! How frames leave: one module per output, each a function that returns routes.
//!
//! An output subscribes to a channel of the [`Hub`](framecast_hub::Hub) and writes what it is given into a
//! response. What kind of camera the pictures come from does not belong here, nor do configuration files, accounts
//! and listeners.

pub mod drawn;
mod handover;
pub mod live;
pub mod mjpeg;
mod peer;
mod refusal;
mod rendition;
mod seldom;
pub mod snapshot;
mod viewers;
pub mod websocket;

use std::convert::Infallible;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use bytes::Bytes;
use futures_util::stream;

pub use handover::{Handover, Place, Socket, Taken, Taker};
pub use peer::{Peer, client_key, client_network};
pub use refusal::Refusal;
pub use seldom::Seldom;
pub use viewers::{Ending, Figures, Full, Limit, Limits, Record, Via, Viewer, Viewers};

/// What a camera's pictures may be asked with.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Live pictures are never to be kept by a browser or a proxy.
const NO_STORE: &str = "no-store, no-cache, must-revalidate";

/// When a client that was refused for now should ask again, in seconds.
const RETRY_AFTER: &str = "5";

/// Answers OPTIONS.
async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, HeaderValue::from_static(METHODS))]).into_response()
}

/// `text` as it can stand in a path's segment or a header's parameter: percent-encoded but for what RFC 3986 §2.3 leaves
/// as it is.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The value of the last parameter of `query` called `name`; our parameters need no percent-decoding.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').rev().find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// The body of an answer to HEAD whose length is known only with the picture: none is told.
fn unknown_length() -> Body {
    Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())
}

/// `time` as `X-Timestamp` has it: unix seconds with six decimals.
fn x_timestamp(time: SystemTime) -> String {
    framecast_media::container::multipart::write_unix_seconds(time)
}
