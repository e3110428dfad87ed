//! Refusals as pictures, for an `<img>`, which shows no sentence. When one is due, and what it says, does not belong here.

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

/// A JPEG that says `headline` and `lines` of what is called `title`; `None` where it cannot be encoded. Costs as much as
/// encoding a picture: keep it.
pub fn picture(title: &str, headline: &str, lines: &[&str]) -> Option<Bytes> {
    let notice = draw::Notice {
        camera: title,
        headline,
        lines,
        background: None,
        width_px: WIDTH_PX,
        height_px: HEIGHT_PX,
    };
    jpeg::encode(&draw::notice(&notice), QUALITY).ok()
}

/// The answer `status` with `picture` as its body. Browsers show pictures whatever the status is.
pub fn answer(status: StatusCode, picture: Bytes) -> Response {
    let mut response = Response::new(Body::from(picture));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    response
}

/// Whether a client asks for pictures before anything else, as an `<img>` does; programs that take whatever comes get the
/// sentence.
pub fn wants_pictures(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.trim_start().starts_with("image/")
        || headers.get("sec-fetch-dest").is_some_and(|destination| destination == "image")
}
