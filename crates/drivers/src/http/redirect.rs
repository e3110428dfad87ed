//! Where an answer sends us, and whether the password may come along.

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use url::Url;

use super::target::Target;
use crate::{Error, mask_secrets};

/// Where `response` to a request for `from` sends us: `None` when it is an answer.
///
/// # Errors
/// [`Error::Answer`] when the place is missing or not a web address.
pub(super) fn location(target: &Target, response: &Response, from: &Url) -> Result<Option<Url>, Error> {
    use StatusCode as S;
    let status = response.status();
    if ![S::MOVED_PERMANENTLY, S::FOUND, S::SEE_OTHER, S::TEMPORARY_REDIRECT, S::PERMANENT_REDIRECT]
        .contains(&status)
    {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return Err(target.answered(
            format!("{status} without saying where to"),
            "open the address in a browser and use the one that it ends up at",
        ));
    };
    let text = String::from_utf8_lossy(location.as_bytes());
    let next = from.join(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(mut next) = next else {
        // Secrets are looked for in much more than is shown, but not in all that a server may send.
        let start: String = text.chars().filter(|c| !c.is_control()).take(2000).collect();
        let shown: String = mask_secrets(&start).chars().take(200).collect();
        return Err(target.answered(
            format!("{status} to `{shown}`"),
            "only http: and https: addresses are followed; use the camera's own address",
        ));
    };
    // A server has no say in who logs in where.
    next.set_username("").ok();
    next.set_password(None).ok();
    next.set_fragment(None);
    Ok(Some(next))
}

/// Whether what `from` may know, `to` may know too: the same server, or the same host over TLS.
pub(super) fn is_same_server(from: &Url, to: &Url) -> bool {
    from.host() == to.host()
        && ((from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default())
            || (from.scheme() == "http" && to.scheme() == "https"))
}

/// Whether the way leads from a protected connection to an open one.
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
}
