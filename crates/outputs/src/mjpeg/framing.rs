//! How the parts of a stream are framed for each kind of client.

use axum::http::{HeaderMap, header};

use crate::{HttpError, query_flag};

/// The framing of a stream's parts: what is sent in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Headers (with `Content-Length` and `X-Timestamp`), picture, boundary.
    Standard,
    /// Picture, boundary, headers of the next part. Chromium paints a part only when the headers of the next part
    /// arrive (crbug 527446), so those headers are sent in advance. They can therefore say nothing about the picture
    /// that will follow.
    Advance,
}

impl Framing {
    /// Chooses the framing for the client that sent `headers`. `?advance_headers=1` or `=0` in `query` overrides what
    /// the headers suggest.
    ///
    /// # Errors
    /// If the value of `advance_headers` is neither yes nor no.
    pub fn choose(headers: &HeaderMap, query: &str) -> Result<Self, HttpError> {
        Ok(match query_flag(query, "advance_headers")? {
            Some(true) => Self::Advance,
            Some(false) => Self::Standard,
            None => Self::by_client(headers),
        })
    }

    /// Returns the framing that suits the client that sent `headers`.
    pub fn by_client(headers: &HeaderMap) -> Self {
        if is_chromium(headers) && !is_script(headers) { Self::Advance } else { Self::Standard }
    }
}

/// Returns whether a script of a page sent the request. A script parses the stream itself and needs `Content-Length`
/// for that. `fetch` accepts any type, while a browser that loads an `<img>` lists picture types in `Accept`.
fn is_script(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept == "*/*")
}

/// Returns whether the client paints like Chromium: Chrome, Edge, Opera, Android's WebView and the like.
fn is_chromium(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let user_agent = text(header::USER_AGENT);
    // Only Chromium sends brands, and only over https; the user agent works everywhere. Chrome on iOS calls itself
    // CriOS and paints as WebKit does.
    text(header::HeaderName::from_static("sec-ch-ua")).contains("Chromium")
        || ["Chrome/", "Chromium/"].iter().any(|brand| user_agent.contains(brand))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(user_agent: &'static str, query: &str) -> Framing {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, user_agent.parse().unwrap());
        Framing::choose(&headers, query).unwrap()
    }

    const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                          HeadlessChrome/148.0.0.0 Safari/537.36";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const CHROME_ON_IOS: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                                 (KHTML, like Gecko) CriOS/130.0 Mobile/15E148 Safari/604.1";

    #[test]
    fn chromium_gets_headers_in_advance_and_nobody_else() {
        assert_eq!(chosen(CHROME, ""), Framing::Advance);
        assert_eq!(chosen(FIREFOX, ""), Framing::Standard);
        assert_eq!(chosen(CHROME_ON_IOS, ""), Framing::Standard);
        assert_eq!(chosen("curl/8.0", ""), Framing::Standard);
    }

    #[test]
    fn a_script_in_chromium_gets_lengths_and_an_image_gets_headers_in_advance() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, CHROME.parse().unwrap());
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            Framing::by_client(&headers)
        };
        assert_eq!(asked("*/*"), Framing::Standard);
        assert_eq!(
            asked("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"),
            Framing::Advance
        );
        assert_eq!(
            asked("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Framing::Advance
        );
    }

    #[test]
    fn the_query_decides_over_the_browser() {
        assert_eq!(chosen(CHROME, "t=1&advance_headers=0"), Framing::Standard);
        assert_eq!(chosen(FIREFOX, "advance_headers=1"), Framing::Advance);
        assert!(Framing::choose(&HeaderMap::new(), "advance_headers=maybe").is_err());
    }
}
