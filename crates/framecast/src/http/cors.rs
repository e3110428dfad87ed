//! CORS (WHATWG Fetch §3.2): what scripts of other sites are allowed to do. Scripts of every origin that matches
//! `cors_origins` can read responses. Scripts of an origin that `cors_origins` lists by name can also set marks and
//! controls. The entry `*` only permits reading, because it names no site.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use framecast_outputs::RateLimitedLog;
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

const ANY: &str = "*";

/// The response headers that CORS exposes to scripts. `Retry-After` says when a client can set a mark again.
const EXPOSED_HEADERS: [HeaderName; 2] = [HeaderName::from_static("x-timestamp"), header::RETRY_AFTER];

/// The other sites that `cors_origins` allows.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<HeaderValue>,
    /// Rate-limited warnings about refused requests of other sites' pages.
    pub(super) refused: RateLimitedLog,
}

impl Origins {
    pub(super) fn new(allowed: &[HeaderValue]) -> Self {
        Self { allowed: allowed.to_vec(), refused: RateLimitedLog::default() }
    }

    /// Returns whether the page that sent these headers is allowed to read responses.
    pub(super) fn may_read(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| self.has(ANY) || self.allowed.contains(origin))
    }

    /// Returns whether the page that sent these headers is allowed to make changes, such as setting controls.
    pub(super) fn may_change(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| origin != ANY && self.allowed.contains(origin))
    }

    fn has(&self, text: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == text)
    }
}

/// Returns the request's origin; `None` unless the request has exactly one.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    given.next().filter(|_| given.next().is_none())
}

/// The routers among which [`route_by_origin`] chooses, and the origins by which it chooses.
struct CorsRouters {
    origins: Origins,
    plain: Router,
    /// The router for the origins that `cors_origins` lists by name. `None` if `cors_origins` does not contain `*`,
    /// because then the default router serves these origins.
    named: Option<Router>,
}

/// Adds CORS layers to `router`, so that scripts of `origins` can read its responses.
pub(super) fn allow(router: Router, origins: &[HeaderValue]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let names = origins.iter().filter(|origin| *origin != ANY).cloned();
    let named = router.clone().layer(for_named(AllowOrigin::list(names)));
    let (origins, plain) = (Origins::new(origins), router.clone());
    let (first, named) =
        if origins.has(ANY) { (router.layer(for_all()), Some(named)) } else { (named, None) };
    // Chosen before routing, because a router behind another one's route would find the route's parameters twice.
    Router::new().fallback_service(first).layer(middleware::from_fn_with_state(
        Arc::new(CorsRouters { origins, plain, named }),
        route_by_origin,
    ))
}

/// Returns the CORS layer for origins that `cors_origins` lists by name. It allows all request headers, because a
/// preflight lists every header that the page's script sets, such as `Last-Event-ID`.
fn for_named(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED_HEADERS)
}

fn for_all() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([header::AUTHORIZATION])
        .expose_headers(EXPOSED_HEADERS)
}

/// Chooses the router for a request. An OPTIONS request that is not a preflight gets the router without CORS, because a
/// CORS layer would answer the request itself. If `cors_origins` contains `*`, a request from an origin that
/// `cors_origins` also lists by name gets the router `named`. All other requests go to the default router (`next`).
async fn route_by_origin(State(routers): State<Arc<CorsRouters>>, request: Request, next: Next) -> Response {
    let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let router = match &routers.named {
        _ if request.method() == Method::OPTIONS && !is_preflight => &routers.plain,
        Some(named) if routers.origins.may_change(request.headers()) => named,
        _ => return next.run(request).await,
    };
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
