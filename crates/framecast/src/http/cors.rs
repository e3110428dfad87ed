//! CORS (WHATWG Fetch §3.2): what scripts of other sites are allowed to do. The configuration lists these sites in
//! `cors_origins`, by name or as `*` for all sites. Scripts of all listed sites can read responses. Scripts of a site
//! that is listed by name can also change something: they can set marks (events that clients add) and camera controls.

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

/// The response headers that scripts of other sites can read. `X-Timestamp` is the time of a picture, and `Retry-After`
/// the time until a refused client can try again.
const EXPOSED_HEADERS: [HeaderName; 2] = [HeaderName::from_static("x-timestamp"), header::RETRY_AFTER];

/// The other sites that the configuration's `cors_origins` allows.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<HeaderValue>,
    /// The rate-limited warning about refused requests that came from other sites' pages.
    pub(super) refused: RateLimitedLog,
}

impl Origins {
    pub(super) fn new(allowed: &[HeaderValue]) -> Self {
        Self { allowed: allowed.to_vec(), refused: RateLimitedLog::default() }
    }

    /// Returns whether the page from which a request with these headers comes is allowed to read responses.
    #[cfg(any(feature = "history", feature = "live"))]
    pub(super) fn may_read(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| self.has(ANY) || self.allowed.contains(origin))
    }

    /// Returns whether the page from which a request with these headers comes is allowed to change something, such as a
    /// camera control.
    pub(super) fn may_change(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| origin != ANY && self.allowed.contains(origin))
    }

    fn has(&self, text: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == text)
    }
}

/// Returns the value of the header `Origin`; `None` if there is no such header, or more than one.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    given.next().filter(|_| given.next().is_none())
}

/// The routers among which [`route_by_origin`] chooses for a request, and the origins on which the choice depends.
struct CorsRouters {
    origins: Origins,
    plain: Router,
    /// The router for requests from the origins that `cors_origins` lists by name. `None` if `cors_origins` does not
    /// contain `*`, because the default router then serves these requests.
    named: Option<Router>,
}

/// Returns `router` with CORS layers added, so that scripts of `origins` can read the router's responses.
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

/// Returns the CORS layer for `origins`, which `cors_origins` lists by name. The layer allows all request headers,
/// because the browser asks in advance about every header that the page's script sets, such as `Last-Event-ID`.
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

/// Passes `request` to one of three routers:
/// - An OPTIONS request that is not a CORS preflight goes to the router without CORS, because a CORS layer would
///   respond to the request itself.
/// - If `cors_origins` contains `*`, a request from an origin that `cors_origins` also lists by name goes to the router
///   `named`.
/// - All other requests go to the default router, `next`.
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
