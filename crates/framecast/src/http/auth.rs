//! Authenticates requests by HTTP Basic (RFC 7617). The server has one account, which gives access to everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast_outputs::{HttpError, Peer};

use super::clients::Client;
use super::credentials::Credentials;
use super::forwarded::{ForwardedBy, is_forwarded};
use super::login_throttle::{ConnectionLogin, LoginOutcome, LoginThrottle};
use super::monitor_access::{IsMonitor, has_bearer};
use crate::config::Account;

/// HTTP Basic authentication with the server's single account.
pub(crate) struct BasicAuth {
    expected: Credentials,
}

impl BasicAuth {
    pub(crate) fn new(account: &Account) -> Self {
        Self { expected: Credentials::new(account) }
    }

    fn accepts(&self, given: &[u8]) -> bool {
        self.expected.matches(given)
    }
}

fn credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(token.trim()).ok()).flatten()
}

/// Passes a request on only if the request contains the account's user name and password, or
/// [needs none](IsMonitor). The [`LoginThrottle`] limits the number of wrong passwords.
pub(crate) async fn check(
    State((auth, login_throttle)): State<(Arc<BasicAuth>, Arc<LoginThrottle>)>,
    request: Request,
    next: Next,
) -> Response {
    if request.extensions().get::<IsMonitor>().is_some() {
        return next.run(request).await;
    }
    // A request without credentials, or with unreadable ones, does not count as a guess.
    let Some(given) = credentials(request.headers()) else {
        return challenge(match request.headers() {
            headers if has_bearer(headers) => "a token does not open this path: user and password needed",
            headers if headers.contains_key(header::AUTHORIZATION) => "wrong user or password",
            _ => "user and password needed",
        });
    };
    let login = request.extensions().get::<ConnectionLogin>().cloned().unwrap_or_default();
    let address = Peer::from_extensions(request.extensions());
    let is_forwarded = request.extensions().get::<ForwardedBy>().is_some() || is_forwarded(request.headers());
    let client = if is_forwarded { Client::through_proxy(address) } else { Client::new(address) };
    match login_throttle.attempt(client, address, &login, Instant::now(), || auth.accepts(&given)) {
        LoginOutcome::Accepted => next.run(request).await,
        LoginOutcome::Rejected => challenge("wrong user or password"),
        LoginOutcome::Throttled(wait) => too_many(wait),
    }
}

fn challenge(message: &str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, "Basic realm=\"Framecast\", charset=\"UTF-8\"")];
    (headers, HttpError { status: StatusCode::UNAUTHORIZED, message: message.to_owned() }).into_response()
}

fn too_many(wait: Duration) -> Response {
    let message = "too many wrong passwords: the server did not check this one. Try again in a second. If all clients \
                   come through one proxy, let the proxy set X-Forwarded-For, and name the proxy in trusted_proxies";
    HttpError::too_many_requests(message.to_owned(), wait)
}
