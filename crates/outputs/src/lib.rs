//! The outputs, which send frames to clients: one module per output, each with a function that returns its routes.
//!
//! An output subscribes to a channel of the [`Hub`](framecast_hub::Hub), a camera's sequence of frames, and writes
//! these frames into a response. An output does not know what kind of camera the pictures come from. Configuration
//! files, accounts and listeners do not belong here.

#![forbid(unsafe_code)]

pub mod error_picture;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only writer threads take samples of sockets, and only Linux has them")
)]
mod flow_control;
#[cfg(feature = "live")]
pub mod go2rtc;
mod hijack;
mod http_error;
mod ladder;
#[cfg(feature = "live")]
pub mod live;
pub mod mjpeg;
pub mod mp4;
mod opened_video;
mod peer;
#[cfg(test)]
mod publish;
mod rate_limited_log;
mod rendition;
mod schedule;
pub mod snapshot;
mod tune;
#[cfg(test)]
mod video_camera;
mod video_packer;
mod video_reader;
mod viewers;
#[cfg(feature = "live")]
pub mod websocket;
mod write_timeout;

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use bytes::Bytes;
use futures_util::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use hijack::{ConnectionPermit, Hijack, HijackHandler, HijackedConnection, Socket};
pub use http_error::HttpError;
pub use peer::{Peer, client_key, client_network};
pub use rate_limited_log::RateLimitedLog;
pub use tune::tune;
pub use viewers::{
    AgeHistogram, CameraTotals, EndReason, Limit, LimitReached, Limits, Transport, ViewerGuard, ViewerStats,
    Viewers,
};
pub use write_timeout::WriteTimeout;

/// The HTTP methods that are allowed on the paths of a camera's pictures and streams.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The `Cache-Control` of live pictures, which browsers and proxies must never cache.
const NO_STORE: &str = "no-store, no-cache, must-revalidate";

/// How long a refused client should wait before it asks again, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// Responds to OPTIONS on a path that supports only GET and HEAD.
pub async fn options() -> Response {
    answer_options(METHODS)
}

/// Creates the response to OPTIONS on a path that supports the `methods`, as in `GET, HEAD, OPTIONS`: status 204.
pub fn answer_options(methods: &'static str) -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, HeaderValue::from_static(methods))]).into_response()
}

/// The bytes of ASCII that [`percent_encode`] encodes: all but those that RFC 3986 §2.3 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes `text` for a path segment or a header parameter. RFC 3986 §2.3 lists the characters that stay as
/// they are.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Returns the decoded value of the last parameter of `query` called `name`; `None` if there is no such parameter.
fn query_parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(key, _)| key == name).last().map(|(_, value)| value)
}

/// Returns the value of the last yes-or-no parameter of `query` called `name`; `None` if `query` does not contain this
/// parameter. [`parse_flag`](framecast_media::parse_flag) lists the spellings.
///
/// # Errors
/// The value is neither yes nor no: status 400.
pub fn query_flag(query: &str, name: &str) -> Result<Option<bool>, HttpError> {
    let Some(value) = query_parameter(query, name) else { return Ok(None) };
    let refusal = || HttpError::bad_parameter(name, &value, framecast_media::FLAG_VALUES);
    framecast_media::parse_flag(&value).ok_or_else(refusal).map(Some)
}

/// Creates an empty body whose length hyper does not know, so that the response has no `Content-Length`. It is for
/// responses to HEAD, and for streams that a writer thread sends after the response head.
fn unknown_length_body() -> Body {
    Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())
}

/// Formats `time` for the header `X-Timestamp`: unix seconds with six decimals.
fn format_x_timestamp(time: SystemTime) -> String {
    framecast_media::container::multipart::format_unix_seconds(time)
}
