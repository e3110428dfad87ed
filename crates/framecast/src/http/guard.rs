//! Protects users from hostile pages in their own browser: from DNS rebinding and from cross-site requests.
//!
//! In DNS rebinding, a hostile page makes a name of its own resolve to this server's address. The browser then lets the
//! page read this server's responses. The `Host` header of such a request contains the hostile name, and
//! [`AllowedHosts`] decides which names cannot be hostile. Against cross-site requests, a request that changes
//! something must come from our own pages, from an origin that `cors_origins` lists by name, or from a program.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use framecast_outputs::{HttpError, error_picture};
use tracing::warn;

use super::cors::Origins;
use super::host::{AllowedHosts, is_at_host, is_name, without_port};
use super::lock;
use crate::config::Settings;

/// The host names under which clients can use this server, and the other sites whose pages can make changes.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The allowed host names. `None` allows all names. This is the case if clients need an account, because a hostile
    /// page then gains nothing by its name.
    hosts: Option<AllowedHosts>,
    refused: RefusedHosts,
    /// The other sites whose pages are allowed to make changes.
    origins: Origins,
    /// The error picture for an `<img>` whose address has a refused host name. It quotes nothing of the request, so it
    /// is drawn only once. The inner `None` means that it could not be drawn.
    picture: OnceLock<Option<Bytes>>,
}

/// The files that the error page loads. Any client can read them, under any host name.
const ERROR_PAGE_FILES: [&str; 2] = ["/static/icon.svg", "/static/style.css"];

/// The minimum time between two log lines about the same refused host name.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How many different names the log reports within [`LOG_INTERVAL`]. The limit keeps the log short when a client tries
/// many names, but is high enough that the log usually also reports a name that the user has set up for the server.
const MAX_HOSTS: usize = 16;

/// The host names that were refused recently.
#[derive(Debug, Default)]
struct RefusedHosts(Mutex<RefusedHostTable>);

#[derive(Debug, Default)]
struct RefusedHostTable {
    names: Vec<RefusedHost>,
    /// The number of refused requests under names that are not in `names`, since the last log line.
    others: u64,
}

#[derive(Debug)]
struct RefusedHost {
    name: String,
    logged_at: Instant,
    /// The number of requests under this name since the last log line about it.
    unreported: u64,
}

/// The numbers for a log line about a refused name.
#[derive(Debug, PartialEq, Eq)]
struct RefusalReport {
    /// The number of refusals of this name since the last log line about it, including the current refusal.
    times: u64,
    /// The number of refusals of other names that no log line has reported.
    others: u64,
}

impl RefusedHosts {
    /// Records the refusal of `name`. Returns the numbers for the log line about this refusal; `None` if no log line is
    /// due.
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

    /// Logs the refusal of a request under the host name `host`, which is not allowed, and returns the response.
    fn refuse_host(&self, host: &str, headers: &HeaderMap) -> Response {
        let shown: String = host.chars().take(100).flat_map(char::escape_debug).collect();
        // Users paste the option of this message into a shell, so the option contains only a valid name. An allowed
        // name is valid for all ports.
        let name = if is_name(host) { without_port(&shown) } else { "NAME" };
        if let Some(RefusalReport { times, others }) = self.refused.record(&shown, Instant::now()) {
            warn!(
                times,
                others,
                "refused a request for `{shown}`: this server does not answer to that name. To allow it, add it to \
                 allowed_hosts in the configuration, or start with --allowed-host {name}"
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
            "this server does not answer to the name `{shown}`. To allow it, add it to allowed_hosts in the \
             configuration, or start with --allowed-host {name}"
        );
        HttpError { status, message }.into_response()
    }
}

/// Refuses requests under host names that are not allowed, and changes that pages of other sites request.
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
                "refused a change by a page of another site. To allow it, name its origin in cors_origins. A proxy in \
                 front must pass on the Host that the browser sent"
            );
        }
        let message = "only this server's own pages, and pages of the origins that cors_origins names, may change \
                       something. A proxy in front must pass on the Host that the browser sent";
        return HttpError { status: StatusCode::FORBIDDEN, message: message.to_owned() }.into_response();
    }
    next.run(request).await
}

/// Refuses WebSockets to pages of other sites, unless their origin is in `origins`. Browsers let any page open a
/// WebSocket and read it, whatever CORS says. So the check belongs to the routes, and also works if another program
/// mounts them.
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
                "refused a WebSocket from a page of another site. To allow it, add its origin to \
                 cors_origins. A proxy in front must pass on the Host that the browser sent"
            );
        }
        let message = "only this server's own pages, and pages of the origins in cors_origins, may open a WebSocket. A \
                       proxy in front must pass on the Host that the browser sent";
        return HttpError { status: StatusCode::FORBIDDEN, message: message.to_owned() }.into_response();
    }
    next.run(request).await
}

/// Returns a header's value as text, shortened for a log line.
fn shown(value: &HeaderValue) -> String {
    truncated(&String::from_utf8_lossy(value.as_bytes()))
}

fn truncated(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Returns the error message for an HTTP/1.1 request without the header `Host`, or for any request with more than one
/// `Host` header (RFC 9112 §3.2). Of two such headers, a proxy in front of this server might have read a different one
/// than this server.
fn bad_host(request: &Request) -> Option<&'static str> {
    match request.headers().get_all(header::HOST).iter().count() {
        0 if request.version() >= Version::HTTP_11 => Some("an HTTP/1.1 request needs a Host header"),
        0 | 1 => None,
        _ => Some("a request must have only one Host header"),
    }
}

/// Returns the host that the client asked for; `None` if an HTTP/1.0 client omitted it.
pub(super) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
    }
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns whether a GET is allowed to change something. The request must come from our own pages, from an origin that
/// `cors_origins` lists by name, or from a program.
///
/// An `<img>` on any page sends a GET. Over plain HTTP a browser names the page only in `Referer`, which the page can
/// suppress. So a browser's request must show that it comes from our own pages. A browser is recognised by its user
/// agent or its languages. A request from the address bar over plain HTTP cannot show its source, and is refused.
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

/// Returns whether a request comes from a browser. For compatibility, browsers send a user agent that begins with
/// `Mozilla/`. Browsers without this user agent send the user's languages. Programs that send languages at all (Node's
/// `fetch`) send `*`.
fn is_browser(headers: &HeaderMap) -> bool {
    let name = headers.get(header::USER_AGENT).map(|name| name.as_bytes()).unwrap_or_default();
    let has_languages = headers.get(header::ACCEPT_LANGUAGE).is_some_and(|languages| languages != "*");
    name.starts_with(b"Mozilla/") || has_languages
}

/// Returns whether a browser sent the request from another site's page. Programs send neither `Sec-Fetch-Site` nor
/// `Origin`, so their requests do not count as cross-site.
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
