//! The response to a viewer who is refused because a limit on viewers is reached: 503, with a picture for clients that
//! want pictures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use framecast_media::lock;

use crate::{HttpError, LimitReached, RETRY_AFTER_SECONDS, error_picture};

/// The maximum number of refusal pictures in the cache. Most limits need one picture for each camera, but the limit on
/// the viewers from one address needs one for each address.
const MAX_PICTURES: usize = 16;

/// A cache of the drawn refusal pictures, by camera and text. Without it, each refusal would cost the drawing of a
/// picture.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitResponses(Arc<Mutex<BTreeMap<(String, String), Bytes>>>);

impl LimitResponses {
    /// Creates the 503 response that refuses a viewer, for a client that sent `headers`. The response shows the refusal
    /// as a picture.
    ///
    /// # Errors
    /// The refusal as text, if the client does not want a picture, or if the picture cannot be drawn.
    pub(crate) fn respond(
        &self,
        limit_reached: &LimitReached,
        camera: &str,
        headers: &HeaderMap,
    ) -> Result<Response, HttpError> {
        let picture =
            if error_picture::is_wanted(headers) { self.picture(limit_reached, camera) } else { None };
        let Some(picture) = picture else { return Err(HttpError::limit_reached(limit_reached)) };
        let mut response = error_picture::response(StatusCode::SERVICE_UNAVAILABLE, picture);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        Ok(response)
    }

    fn picture(&self, limit_reached: &LimitReached, camera: &str) -> Option<Bytes> {
        let key = (camera.to_owned(), limit_reached.to_string());
        let mut known = lock(&self.0);
        if let Some(picture) = known.get(&key) {
            return Some(picture.clone());
        }
        let picture = error_picture::render(camera, "Full", &[&key.1, "Try again later"])?;
        if known.len() >= MAX_PICTURES {
            known.clear();
        }
        known.insert(key, picture.clone());
        Some(picture)
    }
}
