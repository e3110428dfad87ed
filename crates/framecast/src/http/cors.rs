//! CORS (WHATWG Fetch §3.2): what scripts of other sites may do. All origins of `cors_origins` may read; those named
//! there may also set marks and controls. `*` only permits reading, because it names no site.

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

/// Our headers that scripts may read; the second says when a client may retry a mark.
const EXPOSED_HEADERS: [HeaderName; 2] = [HeaderName::from_static("x-timestamp"), header::RETRY_AFTER];

/// The other sites in `cors_origins`.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<HeaderValue>,
    /// Rate-limited warnings about pages of other sites.
    pub(super) refused: RateLimitedLog,
}

impl Origins {
    pub(super) fn new(allowed: &[HeaderValue]) -> Self {
        Self { allowed: allowed.to_vec(), refused: RateLimitedLog::default() }
    }

    /// Whether the page that sent these headers may read.
    pub(super) fn may_read(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| self.has(ANY) || self.allowed.contains(origin))
    }

    /// Whether the page that sent these headers may change something.
    pub(super) fn may_change(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| origin != ANY && self.allowed.contains(origin))
    }

    fn has(&self, text: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == text)
    }
}

/// The request's origin, if it names exactly one.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    given.next().filter(|_| given.next().is_none())
}

/// The routes without CORS, and those with the layer for named origins.
struct CorsRouters {
    origins: Origins,
    plain: Router,
    /// For named origins, if `*` lets others read too.
    named: Option<Router>,
}

/// Lets scripts of `origins` read the answers of `router`.
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

/// A preflight asks for the headers that the page's script sets itself, such as `Last-Event-ID`; all are allowed.
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

/// Picks the router for a request. An OPTIONS request that is no preflight bypasses CORS, whose layer would answer it;
/// a named origin gets its own layer.
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
