//! One account for everything: HTTP Basic (RFC 7617).

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast_outputs::{Peer, Refusal};

use super::clients::Client;
use super::credentials::Credentials;
use super::forwarded::{IsForwarded, is_passed_on};
use super::guesses::{Guesses, Login, Outcome};
use crate::config::Account;

/// The credentials that clients need.
pub(crate) struct BasicAuth {
    expected: Credentials,
}

impl BasicAuth {
    pub(crate) fn new(account: &Account) -> Self {
        Self { expected: Credentials::of(account) }
    }

    fn accepts(&self, given: &[u8]) -> bool {
        self.expected.are(given)
    }
}

fn credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(token.trim()).ok()).flatten()
}

/// Lets a request pass only with the account's name and password.
pub(crate) async fn check(
    State((auth, guesses)): State<(Arc<BasicAuth>, Arc<Guesses>)>,
    request: Request,
    next: Next,
) -> Response {
    // A request without credentials, or with unreadable ones, is no guess.
    let Some(given) = credentials(request.headers()) else {
        let has_tried = request.headers().contains_key(header::AUTHORIZATION);
        return challenge(if has_tried { "wrong user or password" } else { "user and password needed" });
    };
    let login = request.extensions().get::<Login>().cloned().unwrap_or_default();
    let address = Peer::of(request.extensions());
    let is_passed_on = request.extensions().get::<IsForwarded>().is_some() || is_passed_on(request.headers());
    let client = if is_passed_on { Client::through_proxy(address) } else { Client::new(address) };
    match guesses.attempt(client, address, &login, Instant::now(), || auth.accepts(&given)) {
        Outcome::Right => next.run(request).await,
        Outcome::Wrong => challenge("wrong user or password"),
        Outcome::Uncompared(wait) => too_many(wait),
    }
}

fn challenge(message: &str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, "Basic realm=\"Framecast\", charset=\"UTF-8\"")];
    (headers, Refusal { status: StatusCode::UNAUTHORIZED, message: message.to_owned() }).into_response()
}

fn too_many(wait: Duration) -> Response {
    let message = "too many wrong passwords: this one was not compared; try again in a second; where all clients come \
                   through one proxy, let it set X-Forwarded-For and name it in trusted_proxies";
    Refusal::too_many(message.to_owned(), wait)
}
