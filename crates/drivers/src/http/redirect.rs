//! Determines the target of a redirect, and whether the login and cookies are sent to that target.

use url::Url;

use super::target::HttpTarget;
use crate::Error;
use crate::http1::Head;

/// Returns the URL to which `head`, the head of the response to a request for `from`, redirects; `None` if that
/// response is not a redirect. `target`, the parsed URL of the source, appears only in errors.
///
/// # Errors
/// [`Error::UnexpectedAnswer`] when a redirect names no URL, or one that does not begin with `http:` or `https:`.
pub(super) fn location(target: &HttpTarget, head: &Head, from: &Url) -> Result<Option<Url>, Error> {
    if !matches!(head.status(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(text) = head.get("Location") else {
        return Err(target.unexpected_answer(
            format!("{} without a Location header", head.status_line()),
            "open the address in a browser and use the address that the browser shows in the end",
        ));
    };
    let next = from.join(text).ok();
    let is_web = |url: &&Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    let Some(mut next) = next.as_ref().filter(is_web).cloned() else {
        let place = next.map_or("an invalid address".to_owned(), |url| shown_origin(&url));
        return Err(target.unexpected_answer(
            format!("{}, a redirect to {place}", head.status_line()),
            "Framecast follows redirects only to http: and https: addresses; use the camera's own address",
        ));
    };
    // A server must not decide which login goes where.
    next.set_username("").ok();
    next.set_password(None).ok();
    next.set_fragment(None);
    Ok(Some(next))
}

/// Returns the part of a URL that viewers are allowed to see: scheme and host.
pub(super) fn shown_origin(url: &Url) -> String {
    const MAX_SHOWN_CHARS: usize = 100;
    let host: String = url.host_str().unwrap_or_default().chars().take(MAX_SHOWN_CHARS).collect();
    format!("{}://{host}", url.scheme())
}

/// Describes `to`, the target of a redirect from `from`, as viewers are allowed to see it: scheme and host, or, on the
/// same host, only the scheme. If the scheme is the same too, only the port differs, which viewers do not see, so the
/// text is "another port of the same host".
pub(super) fn shown_origin_from(from: &Url, to: &Url) -> String {
    if from.host() != to.host() {
        return shown_origin(to);
    }
    if from.scheme() != to.scheme() {
        return format!("{} on the same host", to.scheme());
    }
    "another port of the same host".to_owned()
}

/// Returns the part of a URL that the log is allowed to show: scheme, host and port.
pub(super) fn origin_with_port(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    shown_origin(url) + &port
}

/// Returns whether the login and cookies that are sent to `from` are allowed to be sent to `to` too: true if both URLs
/// lead to the same server, or if `from` is `http:` and `to` is `https:` on the same host.
pub(super) fn is_same_server(from: &Url, to: &Url) -> bool {
    from.host() == to.host()
        && ((from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default())
            || (from.scheme() == "http" && to.scheme() == "https"))
}

/// Returns whether a redirect leads from TLS to an unencrypted connection.
pub(super) fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() == "http"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_server_or_its_tls_side_is_trusted() {
        for (from, to, is_same) in [
            ("http://cam/a", "http://cam:80/b", true),
            ("http://cam/a", "https://cam/a", true),
            ("http://cam:8080/a", "https://cam:8443/a", true),
            ("http://cam/a", "http://cam:81/a", false),
            ("http://cam/a", "http://cam.evil/a", false),
            ("https://cam/a", "http://cam/a", false),
            ("https://cam/a", "https://cam:444/a", false),
        ] {
            let (from, to) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
            assert_eq!(is_same_server(&from, &to), is_same, "{from} {to}");
        }
    }

    #[test]
    fn of_a_place_scheme_and_host_are_told() {
        let url = Url::parse("https://me:s3cret@other.lan:8443/token/abc?k=v#f").unwrap();
        assert_eq!(shown_origin(&url), "https://other.lan");
        assert_eq!(origin_with_port(&url), "https://other.lan:8443");
    }

    #[test]
    fn a_place_on_the_same_host_is_told_by_what_is_other_about_it() {
        for (to, told) in [
            ("http://cam:8080/token", "another port of the same host"),
            ("https://cam/token", "https on the same host"),
            ("http://cam.lan:8080/token", "http://cam.lan"),
        ] {
            let (from, to) = (Url::parse("http://cam/").unwrap(), Url::parse(to).unwrap());
            assert_eq!(shown_origin_from(&from, &to), told);
        }
    }
}
