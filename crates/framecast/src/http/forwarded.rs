//! Finds the client of a request that a proxy forwarded. The proxy names the client in `X-Forwarded-For` or `Forwarded`
//! (RFC 7239).
//!
//! Any client can write these headers, so this module reads them only if a trusted proxy sent them. The configuration
//! lists these proxies in `trusted_proxies`. A proxy that passes these headers on from its clients, and does not set
//! them itself, must not be in this list. For all later layers and handlers, the address of a request ([`Peer`]) is the
//! client's, even if a trusted proxy forwarded the request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use framecast_outputs::{Peer, RateLimitedLog};
use tracing::warn;

use crate::config::{AddressRanges, Settings};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers in which a proxy names the client of a forwarded request.
const CLIENT_HEADERS: [HeaderName; 2] = [X_FORWARDED_FOR, header::FORWARDED];

/// Headers that show that a proxy forwarded a request.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Returns whether a request's headers show that a proxy, trusted or not, forwarded the request.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// The trusted proxy that forwarded a request and named its client. This value is in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardedBy {
    /// The proxy's own address; `None` if the proxy is connected over a UNIX socket.
    pub(crate) by: Option<IpAddr>,
}

/// The proxies that the configuration trusts, and the rate-limited warning about other proxies.
#[derive(Debug)]
pub(crate) struct ProxyTrust {
    settings: Arc<Settings>,
    warning: RateLimitedLog,
}

impl ProxyTrust {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, warning: RateLimitedLog::default() }
    }

    /// Logs a warning that the server ignores the headers in which `connected`, an untrusted proxy, names its clients.
    /// Without the warning, the user would not notice that all clients of this proxy share the limits of one client.
    fn warn(&self, connected: Option<IpAddr>) {
        let Some(times) = self.warning.should_log() else { return };
        let from = connected.map_or_else(|| "unix".to_owned(), |address| address.to_canonical().to_string());
        warn!(
            times,
            "ignored the header X-Forwarded-For or Forwarded in requests from {from}, which is not in trusted_proxies. \
             So all clients of that address share the limits of a single client. If this is your proxy, add {from} to \
             trusted_proxies"
        );
    }
}

/// If a trusted proxy forwarded `request`, replaces the proxy's address in the request with the client's. Then passes
/// the request on.
pub(crate) async fn resolve(
    State(proxies): State<Arc<ProxyTrust>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(Peer(by)) = request.extensions().get::<Peer>().copied() {
        let (trusted, headers) = (&proxies.settings.trusted_proxies, request.headers());
        if let Some(client) = client(trusted, by, headers) {
            request.extensions_mut().insert(Peer(Some(client)));
            request.extensions_mut().insert(ForwardedBy { by });
        } else if is_untrusted_claim(trusted, by, headers) {
            proxies.warn(by);
        }
    }
    next.run(request).await
}

/// Returns whether the peer `connected` names another client in `headers`, although it is not a trusted proxy.
fn is_untrusted_claim(trusted: &AddressRanges, connected: Option<IpAddr>, headers: &HeaderMap) -> bool {
    !trusted.contains(connected) && CLIENT_HEADERS.iter().any(|name| headers.contains_key(name))
}

/// Returns the address of the client for which the peer `connected` forwarded a request. This is the right-most address
/// in `headers` that is not a trusted proxy's, or the left-most address if all are trusted proxies. Returns `None` if
/// `connected` is not a trusted proxy or names no client.
fn client(trusted: &AddressRanges, connected: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    if !trusted.contains(connected) {
        return None;
    }
    let mut client = None;
    for given in addresses(headers) {
        // Left of an entry that is not an address, nothing shows who wrote the entries.
        let Some(address) = given else { break };
        client = Some(address);
        if !trusted.contains(Some(address)) {
            break;
        }
    }
    client
}

/// Returns the addresses in `X-Forwarded-For` or `Forwarded`, from right to left, that is from the proxy nearest to
/// this server to the client. An item of `None` stands for an entry that is not an address. If a request has both
/// headers, returns only the addresses in `X-Forwarded-For`, because most proxies write this header and pass
/// `Forwarded` on unread.
fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let name = if headers.contains_key(X_FORWARDED_FOR) { X_FORWARDED_FOR } else { header::FORWARDED };
    let is_plain = name == X_FORWARDED_FOR;
    headers.get_all(name).iter().rev().flat_map(|value| value.as_bytes().rsplit(|&byte| byte == b',')).map(
        move |element| {
            let element = std::str::from_utf8(element).ok()?.trim();
            parse(if is_plain { element } else { for_parameter(element)? })
        },
    )
}

/// Returns the value of the parameter `for=` in `element`, one of the comma-separated elements of the header
/// `Forwarded`; `None` if the element has no such parameter.
fn for_parameter(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// Parses an IP address with or without a port, such as `192.0.2.1`, `192.0.2.1:81`, `2001:db8::1` or
/// `[2001:db8::1]:81`. Returns only the address.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn of(connected: Option<IpAddr>, pairs: &[(&'static str, &str)]) -> Option<IpAddr> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let mut trusted = AddressRanges::this_machine();
        trusted.add("10.0.0.0/8").unwrap();
        client(&trusted, connected, &headers)
    }

    #[test]
    fn the_right_most_address_that_is_not_trusted_is_the_clients() {
        let local = ip("127.0.0.1");
        assert_eq!(of(local, &[]), None);
        assert_eq!(of(None, &[("x-forwarded-for", "203.0.113.7")]), ip("203.0.113.7"));
        for value in [
            "203.0.113.7",
            "198.51.100.1, 203.0.113.7",
            "203.0.113.7, 10.0.0.1",
            "junk, 203.0.113.7,10.0.0.1 , 127.0.0.1",
            "203.0.113.7:4711",
        ] {
            assert_eq!(of(local, &[("x-forwarded-for", value)]), ip("203.0.113.7"), "{value}");
        }
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(of(local, &lines), ip("203.0.113.7"));
        assert_eq!(
            of(local, &[("x-forwarded-for", "10.0.0.9, 10.0.0.1")]),
            ip("10.0.0.9"),
            "all are trusted"
        );
        assert_eq!(of(local, &[("x-forwarded-for", "::ffff:203.0.113.7")]), ip("203.0.113.7"));
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        let local = ip("127.0.0.1");
        assert_eq!(of(local, &[("x-forwarded-for", "unknown")]), None);
        assert_eq!(of(local, &[("x-forwarded-for", "203.0.113.7, unknown, 10.0.0.1")]), ip("10.0.0.1"));
        assert_eq!(of(local, &[("x-forwarded-for", "")]), None);
    }

    #[test]
    fn the_header_of_the_rfc_is_read_where_the_other_is_missing() {
        let local = ip("127.0.0.1");
        let value = r#"for=198.51.100.1, for="[2001:db8::7]:81";proto=https;by=10.0.0.1"#;
        assert_eq!(of(local, &[("forwarded", value)]), ip("2001:db8::7"));
        assert_eq!(of(local, &[("forwarded", "For=203.0.113.7;host=cam")]), ip("203.0.113.7"));
        assert_eq!(of(local, &[("forwarded", "for=_hidden")]), None);
        let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(of(local, &both), ip("203.0.113.7"));
    }

    #[test]
    fn a_proxy_that_is_not_trusted_is_told_of_and_no_one_else() {
        let trusted = AddressRanges::this_machine();
        let is_told = |connected, name: &'static str| {
            is_untrusted_claim(
                &trusted,
                connected,
                &HeaderMap::from_iter([(HeaderName::from_static(name), "203.0.113.7".parse().unwrap())]),
            )
        };
        for name in ["x-forwarded-for", "forwarded"] {
            assert!(
                is_told(ip("172.18.0.3"), name) && !is_told(ip("127.0.0.1"), name) && !is_told(None, name)
            );
        }
        assert!(!is_told(ip("172.18.0.3"), "user-agent"));
    }

    #[test]
    fn nobody_else_says_whose_request_it_is() {
        assert_eq!(of(ip("192.168.1.9"), &[("x-forwarded-for", "203.0.113.7")]), None);
    }
}
