//! Who may read `/metrics`, `/healthz` and `/readyz` without the account: addresses that the configuration names, and
//! clients with a bearer token (RFC 6750).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use framecast_media::Secret;
use framecast_outputs::{HttpError, Peer};
use subtle::ConstantTimeEq;

use super::forwarded::{ForwardedBy, is_forwarded};
use super::guard::host_of;
use super::host::AllowedHosts;
use crate::config::{AddressRanges, Settings};

/// The start of the header `Authorization` with a bearer token.
const SCHEME: &[u8] = b"Bearer ";

/// The rules of the paths for programs that watch the server.
#[derive(Debug)]
pub(super) struct MonitorAccess {
    /// The paths for programs that watch the server.
    paths: Vec<&'static str>,
    addresses: Option<AddressRanges>,
    /// The host names under which an address is admitted. Otherwise a hostile page could read the paths in the browser
    /// of somebody at such an address, by DNS rebinding.
    hosts: AllowedHosts,
    token: Option<Secret>,
    /// Whether clients can log in instead.
    has_account: bool,
}

/// The mark, in the extensions of a request, that the request needs no account.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsMonitor;

impl MonitorAccess {
    /// Creates the rules of `settings` for `paths`; `None` if the paths have no rules of their own.
    pub(super) fn new(settings: &Settings, paths: Vec<&'static str>) -> Option<Self> {
        let (addresses, token) = (settings.monitor_addresses.clone(), settings.monitor_token.clone());
        let (hosts, has_account) = (AllowedHosts::new(&settings.allowed_hosts), settings.account.is_some());
        (addresses.is_some() || token.is_some()).then_some(Self {
            paths,
            addresses,
            hosts,
            token,
            has_account,
        })
    }

    /// Refuses a request from `address` that has neither a token nor an account.
    fn refuse(&self, address: Option<IpAddr>) -> Response {
        let from =
            address.map_or_else(|| "a UNIX socket".to_owned(), |address| address.to_canonical().to_string());
        if self.token.is_some() {
            let message =
                "this path needs the bearer token in FRAMECAST_MONITOR_TOKEN, or one of monitor_addresses";
            return refusal(StatusCode::UNAUTHORIZED, format!("{message}; this request came from {from}"));
        }
        let message = "only the addresses in monitor_addresses may read this path";
        refusal(StatusCode::FORBIDDEN, format!("{message}; this request came from {from}"))
    }

    fn admits(&self, request: &Request) -> bool {
        let headers = request.headers();
        self.token.as_ref().is_some_and(|token| bears(headers, token))
            || self.addresses.as_ref().is_some_and(|addresses| is_within(request, addresses))
                && host_of(request.uri(), headers).is_none_or(|host| self.hosts.contains(&host))
    }
}

/// Returns whether the client of `request` has one of `addresses`. A proxy that the server does not trust hides its
/// clients, so its own address says nothing about them.
fn is_within(request: &Request, addresses: &AddressRanges) -> bool {
    let is_trusted = request.extensions().get::<ForwardedBy>().is_some();
    let address: Option<IpAddr> = Peer::from_extensions(request.extensions());
    (is_trusted || !is_forwarded(request.headers())) && addresses.contains(address)
}

/// Returns whether `headers` contain this bearer token. The time of the comparison depends only on the length of what
/// the client sent.
fn bears(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    has_bearer(headers) && given[SCHEME.len()..].trim_ascii().ct_eq(token.expose().as_bytes()).into()
}

/// Marks a request for one of the rules' paths that needs no account. Refuses a request for one of them that the rules do
/// not admit, if there is no account either. Passes other requests on.
pub(super) async fn check(
    State(access): State<Arc<MonitorAccess>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !access.paths.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    if access.admits(&request) {
        request.extensions_mut().insert(IsMonitor);
    } else if has_bearer(request.headers()) {
        return refusal(StatusCode::UNAUTHORIZED, "wrong token".to_owned());
    } else if !access.has_account {
        return access.refuse(Peer::from_extensions(request.extensions()));
    }
    next.run(request).await
}

/// Returns whether a client sent a bearer token.
pub(super) fn has_bearer(headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    given.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

fn refusal(status: StatusCode, message: String) -> Response {
    let mut response = HttpError { status, message }.into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"Framecast\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
