//! The answer to a viewer for whom there is no place: 503, as a picture where pictures are wanted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use framecast_media::codec::jpeg;
use framecast_media::draw;

use crate::{Full, NO_STORE, RETRY_AFTER, Refusal};

const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 360;
const QUALITY: u8 = 75;

/// Texts are few (one for each limit and camera), but addresses may be many.
const MAX_PICTURES: usize = 16;

/// The pictures that were drawn so far, by what they say: drawing costs more than refusing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pictures(Arc<Mutex<BTreeMap<(String, String), Bytes>>>);

impl Pictures {
    /// The answer to a client that sent `headers`.
    ///
    /// # Errors
    /// The answer for a client that wants no picture, or when none can be drawn.
    pub(crate) fn answer(&self, full: &Full, camera: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
        let picture = if wants_pictures(headers) { self.picture(full, camera) } else { None };
        let Some(picture) = picture else { return Err(Refusal::full(full)) };
        let mut response = Response::new(Body::from(picture));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        Ok(response)
    }

    fn picture(&self, full: &Full, camera: &str) -> Option<Bytes> {
        let key = (camera.to_owned(), full.to_string());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(picture) = known.get(&key) {
            return Some(picture.clone());
        }
        let picture = draw::notice(&draw::Notice {
            camera,
            headline: "Full",
            lines: &[&key.1, "Try again later"],
            background: None,
            width_px: WIDTH_PX,
            height_px: HEIGHT_PX,
        });
        let picture = jpeg::encode(&picture, QUALITY).ok()?;
        if known.len() >= MAX_PICTURES {
            known.clear();
        }
        known.insert(key, picture.clone());
        Some(picture)
    }
}

/// Whether a client asks for pictures before anything else, as an `<img>` does; programs that take whatever comes get the
/// sentence.
pub(super) fn wants_pictures(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.trim_start().starts_with("image/")
        || headers.get("sec-fetch-dest").is_some_and(|destination| destination == "image")
}
