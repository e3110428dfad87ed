//! Decides which sites can embed our pages in an `<iframe>`. A hostile page could hide our page with the camera
//! controls under its own buttons, so that a visitor's click acts on a control (clickjacking). So only the sites that
//! the configuration lists in `frame_ancestors` can embed pages that have controls. Any site can embed a page that only
//! shows pictures.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// A marker in the extensions of a response: the page only shows pictures, so any site can embed the page in an
/// `<iframe>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct EmbeddableAnywhere;

/// The response headers that tell browsers which sites can embed our pages in an `<iframe>`: `Content-Security-Policy`
/// (CSP 3, §6.4.2), and `X-Frame-Options` (RFC 7034) for browsers without CSP.
#[derive(Debug)]
pub(super) struct EmbedPolicy {
    ancestors: String,
    /// The value of `X-Frame-Options`; `None` if this older header cannot express the policy.
    options: Option<HeaderValue>,
}

impl EmbedPolicy {
    /// Creates the policy from `ancestors`, the sites that can embed our pages, written as in
    /// `Content-Security-Policy`. If `ancestors` is empty, no site can embed the pages.
    pub(super) fn new(ancestors: &[String]) -> Self {
        let ancestors = if ancestors.is_empty() { "'none'".to_owned() } else { ancestors.join(" ") };
        let options = match ancestors.as_str() {
            "'self'" => Some(HeaderValue::from_static("SAMEORIGIN")),
            "'none'" => Some(HeaderValue::from_static("DENY")),
            _ => None,
        };
        Self { ancestors, options }
    }
}

/// Adds to each HTML response the headers that say which sites can embed the page in an `<iframe>`.
pub(super) async fn set_headers(
    State(policy): State<Arc<EmbedPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers();
    let is_page =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page {
        return response;
    }
    let is_for_anyone = response.extensions().get::<EmbeddableAnywhere>().is_some();
    let ancestors = if is_for_anyone { "*" } else { &policy.ancestors };
    let before = headers.get(header::CONTENT_SECURITY_POLICY).map(HeaderValue::as_bytes).unwrap_or_default();
    let separator: &[u8] = if before.is_empty() { b"" } else { b"; " };
    let whole = [before, separator, b"frame-ancestors ", ancestors.as_bytes()].concat();
    // If a program that embeds the server set text that a header cannot contain, no site has that origin.
    let whole = HeaderValue::try_from(whole).unwrap_or(HeaderValue::from_static("frame-ancestors 'none'"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, whole);
    if let Some(options) = policy.options.clone().filter(|_| !is_for_anyone) {
        response.headers_mut().insert(header::X_FRAME_OPTIONS, options);
    }
    response
}
