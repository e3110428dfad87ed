//! The error responses to requests that cannot be answered.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use framecast_hub::{Hub, TooManyRenditions};
use framecast_media::escape_hidden;
use serde::Serialize;

use crate::{LimitReached, RETRY_AFTER_SECONDS};

/// An error response: a status and a message, sent as `{"error": "…"}`. The extensions of the response also contain
/// this value, so that other layers can give the error another form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The message for a person: what is wrong. It can quote any characters of the request. The code that displays the
    /// message escapes hidden characters.
    pub message: String,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
}

impl HttpError {
    /// Creates a 400 error: the value of a query parameter is invalid. `expected` says what the value must be.
    pub fn bad_parameter(name: &str, value: &str, expected: &str) -> Self {
        let message = format!("{name}={value}: {expected}");
        Self { status: StatusCode::BAD_REQUEST, message }
    }

    /// Creates a 404 error: the hub has no camera of this name.
    pub fn no_such_camera(name: &str, hub: &Hub) -> Self {
        let known: Vec<String> = hub.feeds().iter().map(|feed| feed.name().to_owned()).collect();
        let message = format!("unknown camera `{name}`; known cameras: {}", known.join(", "));
        Self { status: StatusCode::NOT_FOUND, message }
    }

    /// Creates a 503 error: the maximum number of renditions (sizes, qualities and frame rates) that are encoded at
    /// once is reached.
    pub fn too_many_renditions(error: TooManyRenditions) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: error.to_string() }
    }

    /// Creates a 503 error: a limit on viewers is reached.
    pub fn limit_reached(limit_reached: &LimitReached) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: limit_reached.to_string() }
    }

    /// Creates a 429 response: the client must wait for `wait` before its next attempt.
    pub fn too_many_requests(message: String, wait: Duration) -> Response {
        // Rounded up: a client that comes a moment too early would be refused again.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let headers = [(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))];
        (headers, Self { status: StatusCode::TOO_MANY_REQUESTS, message }).into_response()
    }

    /// Creates a 404 error: the server has no cameras.
    pub fn no_camera() -> Self {
        let message = "no camera is configured".to_owned();
        Self { status: StatusCode::NOT_FOUND, message }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response =
            (self.status, Json(ErrorBody { error: &escape_hidden(&self.message) })).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response.extensions_mut().insert(self);
        response
    }
}
