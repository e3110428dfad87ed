//! One account over everything: HTTP Basic (RFC 7617).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast_outputs::Refusal;

use super::credentials::Credentials;
use crate::config::Account;

/// The credentials that a request must bring.
pub(crate) struct BasicAuth {
    expected: Credentials,
}

impl BasicAuth {
    pub(crate) fn new(account: &Account) -> Self {
        Self { expected: Credentials::of(account) }
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        credentials(headers).is_some_and(|given| self.expected.are(&given))
    }
}

fn credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(token.trim()).ok()).flatten()
}

/// Lets a request pass that brings the account's name and password.
pub(crate) async fn check(State(auth): State<Arc<BasicAuth>>, request: Request, next: Next) -> Response {
    if auth.accepts(request.headers()) {
        return next.run(request).await;
    }
    let headers = [(header::WWW_AUTHENTICATE, "Basic realm=\"Framecast\", charset=\"UTF-8\"")];
    let has_tried = request.headers().contains_key(header::AUTHORIZATION);
    let message = if has_tried { "wrong user or password" } else { "user and password needed" }.to_owned();
    (headers, Refusal { status: StatusCode::UNAUTHORIZED, message }).into_response()
}
