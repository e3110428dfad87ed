//! The HTML page that a person sees in place of an error response, for example for a wrong address. The page has the
//! error message and a link to the start page.
//!
//! Programs get the same error message as JSON. The request's headers decide between HTML and JSON. This module only
//! formats errors.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use framecast_media::escape_hidden;
use framecast_outputs::HttpError;

const PAGE: &str = include_str!("../../web/error.html");

const START_LINK: &str = r#"<p><a class="button" href="{start}">All cameras</a></p>"#;

/// Replaces an error response with an HTML page if the client asks for HTML.
pub(super) async fn show(request: Request, next: Next) -> Response {
    let start = wants_html(&request).then(|| path_to_start(request.uri().path()));
    let response = next.run(request).await;
    let Some((start, refusal)) = start.zip(response.extensions().get::<HttpError>()) else { return response };
    let page = page(refusal, &start);
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    super::page::set_head(&mut head.headers, super::page::HTML);
    head.headers.append(header::VARY, HeaderValue::from_static("accept"));
    // Removed, so that a second layer around this one does not replace the page again.
    head.extensions.remove::<HttpError>();
    Response::from_parts(head, page.into())
}

/// Returns whether a browser sent `request` to open a page, so that an error is to be shown as HTML. Programs either
/// accept any content type, or list the types that they can read.
fn wants_html(request: &Request) -> bool {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    is_read && accepts_html(request.headers())
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

/// Returns the relative URL of the start page, as seen from the page at `path`. An absolute URL might be wrong: a
/// proxy, or another program that embeds this server, can remove a prefix from the browser's path, so that this server
/// does not know the prefix.
fn path_to_start(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        // A very long path would make a page many times as long as the path.
        deep => "../".repeat((deep - 1).min(100)),
    }
}

fn page(refusal: &HttpError, start: &str) -> String {
    let (status, way) = match refusal.status {
        // Under this name the start page is refused, too.
        StatusCode::MISDIRECTED_REQUEST => ("Unknown name", ""),
        status => (status.canonical_reason().unwrap_or("Error"), START_LINK),
    };
    // The message goes in last, so that no part of the address in it is taken for a placeholder.
    let page = PAGE.replace("{status}", status).replace("{way}", way).replace("{start}", start);
    page.replace("{sentence}", &escaped(&escape_hidden(&refusal.message)))
}

/// Returns `text` with the special characters of HTML escaped, for use between HTML tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_start_goes_up_as_deep_as_the_address_is() {
        for (path, way) in [
            ("/foo", "./"),
            ("/cameras/", "../"),
            ("/cameras/none", "../"),
            ("/a/b/c", "../../"),
            ("*", "./"),
        ] {
            assert_eq!(path_to_start(path), way, "{path}");
        }
    }

    #[test]
    fn browsers_ask_for_pages_and_programs_do_not() {
        let accepts = |accept: &'static str| {
            accepts_html(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(accepts("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(accepts("application/xml, text/html;q=0.9"));
        for program in ["*/*", "application/json", "image/avif,image/webp,*/*;q=0.8", "", "text/htmlx"] {
            assert!(!accepts(program), "{program}");
        }
        assert!(!accepts_html(&HeaderMap::new()));
    }

    #[test]
    fn what_reorders_the_line_is_shown_as_a_number() {
        let message = "there is nothing at /\u{202e}gpj.exe\u{2028}".to_owned();
        let page = page(&HttpError { status: StatusCode::NOT_FOUND, message }, "./");
        assert!(page.contains("<p>there is nothing at /\\u{202e}gpj.exe\\u{2028}</p>"), "{page}");
    }

    #[test]
    fn by_an_unknown_name_no_way_leads_on() {
        let message = "this server does not answer to the name `cam.example`".to_owned();
        let page = page(&HttpError { status: StatusCode::MISDIRECTED_REQUEST, message }, "./");
        assert!(page.contains("<h1>Unknown name</h1>") && !page.contains("All cameras"), "{page}");
    }

    #[test]
    fn what_an_address_says_is_text_on_the_page() {
        let message = "there is nothing at /<script>&{start}".to_owned();
        let page = page(&HttpError { status: StatusCode::NOT_FOUND, message }, "../");
        assert!(page.contains("<p>there is nothing at /&lt;script&gt;&amp;{start}</p>"), "{page}");
        assert!(
            page.contains("<h1>Not Found</h1>") && page.contains("href=\"../static/style.css\""),
            "{page}"
        );
        assert!(page.contains("href=\"../\">All cameras<") && !page.contains("{status}"));
    }
}
