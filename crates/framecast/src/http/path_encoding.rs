//! Checks the path of every request: after percent-decoding, the bytes of the path must be UTF-8.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use framecast_outputs::HttpError;
use percent_encoding::percent_decode_str;

/// Refuses a request if its path, after percent-decoding, is not UTF-8. To be run before the router matches the path.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if percent_decode_str(path).decode_utf8().is_ok() {
        return next.run(request).await;
    }
    let shown: String = path.chars().take(100).collect();
    let message = format!("the address {shown} is not UTF-8 text");
    HttpError { status: StatusCode::BAD_REQUEST, message }.into_response()
}
