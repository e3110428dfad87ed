//! Which sites may show our pages in a frame. A hostile page could put a frame with controls under its own buttons, so
//! that a visitor's click acts there (clickjacking). So only `frame_ancestors` may frame pages that act. Any site may
//! frame pages that only show pictures.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// In the extensions of a page's answer: the page only shows pictures.
#[derive(Debug, Clone, Copy)]
pub(super) struct EmbeddableAnywhere;

/// The headers of each page (CSP 3, §6.4.2; RFC 7034 for browsers without a policy).
#[derive(Debug)]
pub(super) struct EmbedPolicy {
    ancestors: String,
    /// The older header, if it can express the same.
    options: Option<HeaderValue>,
}

impl EmbedPolicy {
    /// `ancestors` are in the form of the header `Content-Security-Policy`.
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

/// Adds to each page the header for the sites that may frame it.
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
    // A program that embeds us set text that a header cannot contain: no site has that origin.
    let whole = HeaderValue::try_from(whole).unwrap_or(HeaderValue::from_static("frame-ancestors 'none'"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, whole);
    if let Some(options) = policy.options.clone().filter(|_| !is_for_anyone) {
        response.headers_mut().insert(header::X_FRAME_OPTIONS, options);
    }
    response
}
