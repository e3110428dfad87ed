//! What scripts of other sites may do (CORS, WHATWG Fetch §3.2): those of `cors_origins` may read, and those that are named
//! there may set marks and controls too. `*` is for reading alone: it names nobody.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use framecast_outputs::Seldom;
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

const ANY: &str = "*";

/// Headers of ours that scripts may read; the second tells when a mark may be tried again.
const EXPOSED: [HeaderName; 2] = [HeaderName::from_static("x-timestamp"), header::RETRY_AFTER];

/// The other sites in `cors_origins`.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<HeaderValue>,
    /// Pages of sites that are not among them.
    pub(super) refused: Seldom,
}

impl Origins {
    pub(super) fn new(allowed: &[HeaderValue]) -> Self {
        Self { allowed: allowed.to_vec(), refused: Seldom::default() }
    }

    /// Whether a page whose request has these headers may read.
    pub(super) fn may_read(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| self.has(ANY) || self.allowed.contains(origin))
    }

    /// Whether it may change something.
    pub(super) fn may_change(&self, headers: &HeaderMap) -> bool {
        origin(headers).is_some_and(|origin| origin != ANY && self.allowed.contains(origin))
    }

    fn has(&self, text: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == text)
    }
}

/// The one origin that a request says it has.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    given.next().filter(|_| given.next().is_none())
}

/// The routes without CORS, and with what is due to one group of origins.
struct Doors {
    origins: Origins,
    plain: Router,
    /// For those that are named, where others may read too.
    named: Option<Router>,
}

/// `router`, whose answers scripts of `origins` may read.
pub(super) fn allow(router: Router, origins: &[HeaderValue]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let names = origins.iter().filter(|origin| *origin != ANY).cloned();
    let named = router.clone().layer(for_named(AllowOrigin::list(names)));
    let (origins, plain) = (Origins::new(origins), router.clone());
    let (first, named) =
        if origins.has(ANY) { (router.layer(for_all()), Some(named)) } else { (named, None) };
    // Chosen before any route is: a router behind another one's route would find the route's parameters twice.
    Router::new()
        .fallback_service(first)
        .layer(middleware::from_fn_with_state(Arc::new(Doors { origins, plain, named }), choose))
}

/// A preflight asks for the headers that the page's script sets itself, such as `Last-Event-ID`: all are allowed.
fn for_named(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
}

fn for_all() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([header::AUTHORIZATION])
        .expose_headers(EXPOSED)
}

/// Takes an OPTIONS request that is no preflight past CORS, which answers every one, and a request of an origin that is named
/// to what is due to it.
async fn choose(State(doors): State<Arc<Doors>>, request: Request, next: Next) -> Response {
    let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let router = match &doors.named {
        _ if request.method() == Method::OPTIONS && !is_preflight => &doors.plain,
        Some(named) if doors.origins.may_change(request.headers()) => named,
        _ => return next.run(request).await,
    };
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
