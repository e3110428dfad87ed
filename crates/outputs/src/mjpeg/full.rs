//! The answer to a viewer beyond a limit: 503, as a picture for clients that want pictures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use crate::{Full, RETRY_AFTER, Refusal, drawn};

/// There are few texts (one for each limit and camera), but there may be many addresses.
const MAX_PICTURES: usize = 16;

/// A cache of the drawn pictures by their text: drawing costs more than refusing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pictures(Arc<Mutex<BTreeMap<(String, String), Bytes>>>);

impl Pictures {
    /// The answer to a client that sent `headers`.
    ///
    /// # Errors
    /// The answer for a client that wants no picture, or if the picture cannot be drawn.
    pub(crate) fn answer(&self, full: &Full, camera: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
        let picture = if drawn::wants_pictures(headers) { self.picture(full, camera) } else { None };
        let Some(picture) = picture else { return Err(Refusal::full(full)) };
        let mut response = drawn::answer(StatusCode::SERVICE_UNAVAILABLE, picture);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        Ok(response)
    }

    fn picture(&self, full: &Full, camera: &str) -> Option<Bytes> {
        let key = (camera.to_owned(), full.to_string());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(picture) = known.get(&key) {
            return Some(picture.clone());
        }
        let picture = drawn::picture(camera, "Full", &[&key.1, "Try again later"])?;
        if known.len() >= MAX_PICTURES {
            known.clear();
        }
        known.insert(key, picture.clone());
        Some(picture)
    }
}
