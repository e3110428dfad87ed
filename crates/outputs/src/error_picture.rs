//! Draws refusals of requests as pictures, for an `<img>`, which cannot show text. The caller decides when to refuse a
//! request, and with which text.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use framecast_media::codec::jpeg;
use framecast_media::draw;

use crate::NO_STORE;

const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 360;
const QUALITY: u8 = 75;

/// Draws a JPEG that shows `headline` and `lines` under `title`. Returns `None` if the picture cannot be encoded. Each
/// call encodes a new picture, so the caller should cache the result.
pub fn render(title: &str, headline: &str, lines: &[&str]) -> Option<Bytes> {
    let slate = draw::Slate {
        camera: title,
        headline,
        lines,
        background: None,
        width_px: WIDTH_PX,
        height_px: HEIGHT_PX,
    };
    jpeg::encode(&draw::slate(&slate), QUALITY).ok()
}

/// Creates a response with this status and `picture` as the body. Browsers show the picture whatever the status is.
pub fn response(status: StatusCode, picture: Bytes) -> Response {
    let mut response = Response::new(Body::from(picture));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    response
}

/// Returns whether the client prefers a picture to text, as an `<img>` does. For a client that accepts anything, this
/// is false.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.trim_start().starts_with("image/")
        || headers.get("sec-fetch-dest").is_some_and(|destination| destination == "image")
}
