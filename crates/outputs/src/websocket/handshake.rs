//! The opening handshake of a WebSocket (RFC 6455 §4.2).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::HttpError;

/// The only version of the WebSocket protocol, as the header `Sec-WebSocket-Version` names it.
const VERSION: &str = "13";

/// The length of the client's random key, in bytes.
const KEY_BYTES: usize = 16;

/// Returns the `Sec-WebSocket-Key` of a request that opens a WebSocket. For any other request, the error is the
/// response that refuses it.
pub(super) fn request_key(request: &Request<Body>) -> Result<&str, Box<Response>> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return Err(reject_response(StatusCode::BAD_REQUEST, "open a WebSocket by GET over HTTP/1.1"));
    }
    if !has_token(headers, header::CONNECTION, "upgrade") || !has_token(headers, header::UPGRADE, "websocket")
    {
        return Err(reject_response(
            StatusCode::UPGRADE_REQUIRED,
            "this address speaks WebSocket: connect to it with ws:// instead of http://",
        ));
    }
    if single_value(headers, header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(reject_response(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"));
    }
    let key = single_value(headers, header::SEC_WEBSOCKET_KEY).filter(|key| {
        let decoded = STANDARD.decode(key);
        decoded.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
    });
    key.ok_or_else(|| {
        reject_response(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must appear once, as 16 bytes in base64")
    })
}

/// Creates the response that opens the WebSocket. `key` is the request's `Sec-WebSocket-Key`.
pub(super) fn accept_response(key: &str) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value");
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Creates a response that refuses a request, with the version of the WebSocket protocol that the server accepts.
pub(super) fn reject_response(status: StatusCode, message: &str) -> Box<Response> {
    let mut response = HttpError { status, message: message.to_owned() }.into_response();
    let headers = response.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 §15.5.22 requires `Upgrade` with this status.
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    Box::new(response)
}

/// Returns whether the header `name`, a comma-separated list, contains `token`. The case of `token` does not matter.
pub(super) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let texts = values.iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// Returns the value of the header `name`; `None` unless the header occurs exactly once.
fn single_value(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request and the response of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn request(changes: &[(&str, Option<&str>)]) -> Request<Body> {
        let mut headers = vec![
            ("Connection", "keep-alive, UPGRADE"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        for (name, value) in changes {
            headers.retain(|(known, _)| known != name || value.is_some_and(|value| value.starts_with('+')));
            headers.extend(value.map(|value| (*name, value.trim_start_matches('+'))));
        }
        let builder = Request::get("/api/live");
        headers
            .into_iter()
            .fold(builder, |builder, (name, value)| builder.header(name, value))
            .body(Body::empty())
            .unwrap()
    }

    #[test]
    fn the_example_of_the_standard_is_accepted_as_it_says() {
        let request = request(&[]);
        let response = accept_response(request_key(&request).unwrap());
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], ACCEPT);
        assert_eq!(
            (&response.headers()["upgrade"], &response.headers()["connection"]),
            (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
        );
    }

    #[test]
    fn a_request_that_opens_no_websocket_is_told_why() {
        for (changes, status) in [
            (&[("Upgrade", None)][..], 426),
            (&[("Upgrade", Some("h2c"))], 426),
            (&[("Connection", Some("close"))], 426),
            (&[("Sec-WebSocket-Version", None)], 426),
            (&[("Sec-WebSocket-Version", Some("8"))], 426),
            (&[("Sec-WebSocket-Version", Some("+13"))], 426),
            (&[("Sec-WebSocket-Key", None)], 400),
            (&[("Sec-WebSocket-Key", Some("c2hvcnQ="))], 400),
            (&[("Sec-WebSocket-Key", Some("not base64, but 24 long!"))], 400),
            (&[("Sec-WebSocket-Key", Some("+dGhlIHNhbXBsZSBub25jZQ=="))], 400),
        ] {
            let response = request_key(&request(changes)).unwrap_err();
            assert_eq!(response.status(), status, "{changes:?}");
            assert_eq!(response.headers()["sec-websocket-version"], "13");
            assert_eq!(response.headers().contains_key("upgrade"), status == 426);
        }
    }

    #[test]
    fn other_methods_and_old_versions_open_nothing() {
        let mut head = request(&[]);
        *head.method_mut() = Method::HEAD;
        assert_eq!(request_key(&head).unwrap_err().status(), 400);
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(request_key(&old).unwrap_err().status(), 400);
    }
}
