//! Protects users against hostile pages in their own browser, which can attack by DNS rebinding and by cross-site
//! requests.
//!
//! In DNS rebinding, a hostile page makes a domain name that its owner controls resolve to this server's address. The
//! browser then lets the page read this server's responses. The `Host` header of the page's requests contains the
//! hostile name, so this module refuses all names except those that [`AllowedHosts`] accepts. Against cross-site
//! requests, this module refuses a request that changes something, unless the request comes from our own pages, from a
//! site that the configuration's `cors_origins` lists by name, or from a program other than a browser.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use framecast_media::lock;
use framecast_outputs::{HttpError, error_picture};
use tracing::warn;

use super::cors::Origins;
use super::host::{AllowedHosts, is_at_host, is_name, without_port};
use crate::config::Settings;

/// The checks of a request's host name and origin: which host names clients can use for this server, and which other
/// sites can change something.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The host names that clients can use for this server. `None` if clients need an account: then all names are
    /// allowed, because a hostile page has no password and gains nothing by its name.
    hosts: Option<AllowedHosts>,
    refused: RefusedHosts,
    /// The other sites whose pages are allowed to change something, such as a control of a camera.
    origins: Origins,
    /// The picture with an error message, sent if an `<img>` loads from this server under a refused host name. The
    /// picture is the same for all requests, so it is drawn only once. The inner `None` means that the picture could
    /// not be drawn.
    picture: OnceLock<Option<Bytes>>,
}

/// The paths of the files that the HTML error page loads. Clients can read these files under any host name.
const ERROR_PAGE_FILES: [&str; 2] = ["/static/icon.svg", "/static/style.css"];

/// The minimum time between two log lines about the same refused host name.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum number of different refused host names that the log reports within [`LOG_INTERVAL`]. The limit keeps the
/// log short when an attacker tries many names. But it is high enough that the log usually still reports a name that
/// the user has set up for this server and forgotten to allow.
const MAX_HOSTS: usize = 16;

/// The host names under which requests were refused recently.
#[derive(Debug, Default)]
struct RefusedHosts(Mutex<RefusedHostTable>);

#[derive(Debug, Default)]
struct RefusedHostTable {
    names: Vec<RefusedHost>,
    /// The number of requests refused under host names that are not in `names`, since the last log line about any name.
    others: u64,
}

#[derive(Debug)]
struct RefusedHost {
    name: String,
    logged_at: Instant,
    /// The number of requests refused under this host name since the last log line about this name.
    unreported: u64,
}

/// The numbers in a log line about a host name under which requests were refused.
#[derive(Debug, PartialEq, Eq)]
struct RefusalReport {
    /// The number of requests refused under this host name since the last log line about this name, including the
    /// current request.
    times: u64,
    /// The number of requests refused under other host names that no log line has reported.
    others: u64,
}

impl RefusedHosts {
    /// Records that a request under the host name `name` was refused. Returns the numbers for a log line to write now;
    /// `None` if no log line about this name is due.
    fn record(&self, name: &str, now: Instant) -> Option<RefusalReport> {
        let mut refused = lock(&self.0);
        let RefusedHostTable { names, others } = &mut *refused;
        let is_due = |logged_at: Instant| now.saturating_duration_since(logged_at) >= LOG_INTERVAL;
        if let Some(known) = names.iter_mut().find(|known| known.name == name) {
            known.unreported += 1;
            if !is_due(known.logged_at) {
                return None;
            }
            known.logged_at = now;
            return Some(RefusalReport {
                times: std::mem::take(&mut known.unreported),
                others: std::mem::take(others),
            });
        }
        // The next line also counts the unreported refusals of the names that expire here.
        *others +=
            names.extract_if(.., |known| is_due(known.logged_at)).map(|known| known.unreported).sum::<u64>();
        if names.len() == MAX_HOSTS {
            *others += 1;
            return None;
        }
        names.push(RefusedHost { name: name.to_owned(), logged_at: now, unreported: 0 });
        Some(RefusalReport { times: 1, others: std::mem::take(others) })
    }
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        let hosts = settings.account.is_none().then(|| AllowedHosts::new(&settings.allowed_hosts));
        let origins = Origins::new(&settings.cors_origins);
        Self { hosts, refused: RefusedHosts::default(), origins, picture: OnceLock::new() }
    }

    fn allows_host(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
    }

    /// Logs that a request under the host name `host` is refused, and returns the error response.
    fn refuse_host(&self, host: &str, headers: &HeaderMap) -> Response {
        let shown: String = host.chars().take(100).flat_map(char::escape_debug).collect();
        // Users paste the option of this message into a shell, so the option contains only a valid name. An allowed
        // name is valid for all ports.
        let name = if is_name(host) { without_port(&shown) } else { "NAME" };
        if let Some(RefusalReport { times, others }) = self.refused.record(&shown, Instant::now()) {
            warn!(
                times,
                others,
                "refused a request for `{shown}`: this server does not answer to that name. To allow the name, \
                 add it to allowed_hosts in the configuration, or start with --allowed-host {name}"
            );
        }
        let status = StatusCode::MISDIRECTED_REQUEST;
        if error_picture::is_wanted(headers) {
            let lines = [
                "This server does not answer to the name in this picture's address.",
                "Its log shows the name. Add it to allowed_hosts, or start with --allowed-host NAME.",
            ];
            let picture =
                self.picture.get_or_init(|| error_picture::render("Framecast", "Unknown name", &lines));
            if let Some(picture) = picture {
                return error_picture::response(status, picture.clone());
            }
        }
        let message = format!(
            "this server does not answer to the name `{shown}`. To allow the name, add it to allowed_hosts in the \
             configuration, or start with --allowed-host {name}"
        );
        HttpError { status, message }.into_response()
    }
}

/// Refuses a request under a host name that is not allowed, and a request by which a page of another site wants to
/// change something. Passes other requests on.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if let Some(message) = bad_host(&request) {
        return HttpError { status: StatusCode::BAD_REQUEST, message: message.to_owned() }.into_response();
    }
    let host = host_of(request.uri(), request.headers());
    let is_error_page_file = ERROR_PAGE_FILES.contains(&request.uri().path());
    if let Some(host) = host.as_deref().filter(|host| !is_error_page_file && !guard.allows_host(host)) {
        return guard.refuse_host(host, request.headers());
    }
    let headers = request.headers();
    if is_change(request.method())
        && is_cross_site(headers, host.as_deref())
        && !guard.origins.may_change(headers)
    {
        if let Some(times) = guard.origins.refused.should_log() {
            let origin = headers.get(header::ORIGIN).map(shown).unwrap_or_default();
            let host = host.as_deref().map(truncated).unwrap_or_default();
            warn!(
                origin,
                host,
                times,
                "refused a change by a page of another site. To allow changes by that page, add the page's origin to \
                 cors_origins. If the page is this server's own, a proxy must pass on the Host that the browser sent"
            );
        }
        let message = "only this server's own pages, and pages of the origins that cors_origins names, may change \
                       something. A proxy in front of this server must pass on the Host that the browser sent";
        return HttpError { status: StatusCode::FORBIDDEN, message: message.to_owned() }.into_response();
    }
    next.run(request).await
}

/// Refuses a WebSocket that a page of another site opens, unless the site is in `origins`. Browsers do not apply CORS
/// to WebSockets: any page could open and read one. This check is part of the routes, so it also protects another
/// program that mounts the routes in its own server.
#[cfg(any(feature = "history", feature = "live"))]
pub(crate) async fn check_websocket(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    let host = host_of(request.uri(), request.headers());
    if is_cross_site(request.headers(), host.as_deref()) && !origins.may_read(request.headers()) {
        if let Some(times) = origins.refused.should_log() {
            let origin = request.headers().get(header::ORIGIN).map(shown).unwrap_or_default();
            let host = host.as_deref().map(truncated).unwrap_or_default();
            warn!(
                origin,
                host,
                times,
                "refused a WebSocket from a page of another site. To allow WebSockets from that page, add the page's \
                 origin to cors_origins. If the page is this server's own, a proxy must pass on the Host that the \
                 browser sent"
            );
        }
        let message = "only this server's own pages, and pages of the origins in cors_origins, may open a WebSocket. A \
                       proxy in front of this server must pass on the Host that the browser sent";
        return HttpError { status: StatusCode::FORBIDDEN, message: message.to_owned() }.into_response();
    }
    next.run(request).await
}

/// Returns the value of a header as text for a log line, shortened if it is long.
fn shown(value: &HeaderValue) -> String {
    truncated(&String::from_utf8_lossy(value.as_bytes()))
}

fn truncated(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Returns the error message for an HTTP/1.1 request without the header `Host`, or for any request with more than one
/// `Host` header (RFC 9112 §3.2). If a request has two, a proxy in front of this server might have checked one and this
/// server the other.
fn bad_host(request: &Request) -> Option<&'static str> {
    match request.headers().get_all(header::HOST).iter().count() {
        0 if request.version() >= Version::HTTP_11 => Some("an HTTP/1.1 request needs a Host header"),
        0 | 1 => None,
        _ => Some("a request must have only one Host header"),
    }
}

/// Returns the host name in a request, with a port if the client wrote one; `None` if an HTTP/1.0 client sent no host
/// name.
pub(super) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
    }
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns whether a GET is allowed to change something. The request must come from our own pages, from a site that the
/// configuration's `cors_origins` lists by name, or from a program other than a browser.
///
/// Any page on the web can contain an `<img>`, for which a browser sends a GET. Over plain HTTP the browser names the
/// page only in the header `Referer`, which the page can suppress. So a browser's GET is refused unless a header shows
/// that it comes from one of the allowed pages. This also refuses a GET from the address bar over plain HTTP, which has
/// no such header.
pub(super) fn may_change(request: &Request, origins: &Origins) -> bool {
    let headers = request.headers();
    let host = host_of(request.uri(), headers);
    if origins.may_change(headers) {
        return true;
    }
    if is_cross_site(headers, host.as_deref()) {
        return false;
    }
    let says_so = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text(header::REFERER).filter(|referer| referer.contains("://")) {
        Some(referer) => host.is_some_and(|host| is_at_host(referer, &host)),
        None => says_so || !is_browser(headers),
    }
}

/// Returns whether a request with these headers comes from a browser: the user agent begins with `Mozilla/`, or the
/// headers contain the languages of the user. Browsers send at least one of the two. Other programs send neither, or
/// `*` as the languages, like Node's `fetch`.
fn is_browser(headers: &HeaderMap) -> bool {
    let name = headers.get(header::USER_AGENT).map(|name| name.as_bytes()).unwrap_or_default();
    let has_languages = headers.get(header::ACCEPT_LANGUAGE).is_some_and(|languages| languages != "*");
    name.starts_with(b"Mozilla/") || has_languages
}

/// Returns whether a browser sent the request on behalf of another site's page. `host` is the host name in the request.
/// A program other than a browser sends neither `Sec-Fetch-Site` nor `Origin`, so the result for its requests is false.
fn is_cross_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let is_here = origin.to_str().is_ok_and(|origin| host.is_some_and(|host| is_at_host(origin, host)));
    !is_here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_that_is_refused_is_told_once_a_minute_and_a_few_of_them_at_the_most() {
        let (names, start) = (RefusedHosts::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let told = |times, others| Some(RefusalReport { times, others });
        assert_eq!(names.record("scanned.example", start), told(1, 0));
        assert_eq!(names.record("scanned.example", start), None);
        assert_eq!(names.record("mine.example", at(1)), told(1, 0));
        for n in 2..MAX_HOSTS {
            assert_eq!(names.record(&format!("{n}.example"), at(1)), told(1, 0));
        }
        assert_eq!(names.record("one.more.example", at(2)), None, "there is no room");
        assert_eq!(names.record("one.more.example", at(60)), told(1, 2), "with what was not told before");
        assert_eq!(names.record("mine.example", at(60)), None);
        assert_eq!(names.record("mine.example", at(61)), told(2, 0));
    }

    #[test]
    fn a_get_changes_something_for_our_own_pages_and_for_programs_alone() {
        const BROWSER: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
        let origins = Origins::new(&[
            HeaderValue::from_static("https://dashboard.example"),
            HeaderValue::from_static("*"),
        ]);
        let may = |pairs: &[(&'static str, &'static str)]| {
            let mut request = Request::new(axum::body::Body::empty());
            for (name, value) in [("host", "cam:5000")].iter().chain(pairs) {
                request.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
            may_change(&request, &origins)
        };
        assert!(may(&[]));
        assert!(may(&[("user-agent", "curl/8.0")]));
        assert!(may(&[BROWSER, ("sec-fetch-site", "same-origin")]));
        assert!(may(&[BROWSER, ("sec-fetch-site", "none")]), "typed into the address bar");
        assert!(may(&[BROWSER, ("referer", "http://cam:5000/control.htm?a")]));
        assert!(may(&[BROWSER, ("host", "cam.lan:80"), ("referer", "http://cam.lan/control.htm")]));
        assert!(!may(&[BROWSER]), "a page can forbid the referrer");
        assert!(!may(&[BROWSER, ("referer", "http://evil.example/cam:5000")]));
        assert!(!may(&[BROWSER, ("referer", "http://cam:5001/")]));
        assert!(!may(&[("accept-language", "de")]));
        assert!(may(&[("accept-language", "*"), ("user-agent", "node")]));
        assert!(!may(&[BROWSER, ("sec-fetch-site", "cross-site")]));
        assert!(!may(&[BROWSER, ("sec-fetch-site", "same-origin"), ("referer", "http://evil.example/")]));
        assert!(!may(&[("origin", "http://evil.example")]));
        let named = ("origin", "https://dashboard.example");
        assert!(may(&[
            BROWSER,
            named,
            ("sec-fetch-site", "cross-site"),
            ("referer", "https://dashboard.example/")
        ]));
        assert!(!may(&[BROWSER, ("origin", "*"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_changing_request_of_another_origin_is_known_by_its_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        let host = Some("cam:5000");
        assert!(!is_cross_site(&headers(&[]), host));
        assert!(!is_cross_site(&headers(&[("origin", "http://cam:5000")]), host));
        assert!(!is_cross_site(&headers(&[("origin", "http://cam.lan")]), Some("cam.lan:80")));
        assert!(is_cross_site(&headers(&[("origin", "http://cam:5000")]), None));
        assert!(is_cross_site(&headers(&[("origin", "http://evil.example")]), host));
        assert!(is_cross_site(&headers(&[("origin", "null")]), host));
        assert!(is_cross_site(&headers(&[("sec-fetch-site", "cross-site")]), host));
        assert!(!is_cross_site(&headers(&[("sec-fetch-site", "same-origin")]), host));
    }
}
