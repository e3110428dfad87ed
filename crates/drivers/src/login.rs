//! Basic and Digest authentication (RFC 7617, RFC 7616), for HTTP and RTSP.
//!
//! The client sends no login until the server asks for one. The client then remembers the server's authentication
//! method, so that later requests need no second round trip.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use digest_auth::{AuthContext, Charset, HttpMethod, Qop, WwwAuthenticateHeader};
use framecast_media::Secret;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::http1::{Challenge, Head, parse_challenges};

/// A user and a password, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Secret,
    pub(crate) password: Secret,
}

impl Credentials {
    /// Removes the user and password from `url` and returns them; `None` if the URL has neither.
    pub(crate) fn take_from(url: &mut Url) -> Option<Self> {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        // These calls fail only for URLs without a host, which have neither user nor password.
        url.set_username("").ok();
        url.set_password(None).ok();
        let is_there = !user.is_empty() || !password.is_empty();
        is_there.then(|| Self { user: Secret::new(user), password: Secret::new(password) })
    }
}

/// What an `Authorization` header is computed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLine<'a> {
    /// The method, such as `GET` or `DESCRIBE`.
    pub(crate) method: &'a str,
    /// The target, as the request line contains it.
    pub(crate) target: &'a str,
    /// Whether the request is sent over TLS.
    pub(crate) is_encrypted: bool,
}

/// The login state of one source: its credentials and the authentication method for which the server last asked.
#[derive(Debug)]
pub(crate) struct Login {
    credentials: Credentials,
    method: Option<Method>,
    /// Whether the server asked for the login over TLS. If true, the login is never sent over an unencrypted
    /// connection.
    is_tls: bool,
    /// Whether the server seems to accept each Digest nonce only once: it has refused a nonce that it accepted before,
    /// and has sent no new one. If true, each request is sent without a login first, so that the server sends a new
    /// nonce.
    is_nonce_single_use: bool,
}

#[derive(Debug)]
enum Method {
    Basic,
    Digest(Box<WwwAuthenticateHeader>),
}

/// The result of reading the challenges in a server's 401 response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthOutcome {
    /// The server offers no method that Framecast supports.
    Unsupported,
    /// The server asked for a login with a method that Framecast supports.
    Challenged,
    /// The server says that the login was right but the nonce was too old.
    StaleNonce,
}

impl Login {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, method: None, is_tls: false, is_nonce_single_use: false }
    }

    /// Forgets the authentication method, so that the next request is sent without a login and the server sends a new
    /// challenge.
    pub(crate) fn forget(&mut self) {
        self.is_nonce_single_use |= matches!(self.method, Some(Method::Digest(_)));
        self.method = None;
    }

    /// Records that a request has succeeded. If the server accepts each nonce only once, forgets the authentication
    /// method together with its used nonce.
    pub(crate) fn succeeded(&mut self) {
        if self.is_nonce_single_use {
            self.method = None;
        }
    }

    /// Returns the `Authorization` header for `request`. Returns `None` if the server has not asked for a login yet.
    /// Also returns `None` if the server asked over TLS, but the request is sent unencrypted.
    pub(crate) fn authorization(&mut self, request: RequestLine<'_>) -> Option<String> {
        if self.is_tls && !request.is_encrypted {
            return None;
        }
        let (user, password) = (self.credentials.user.expose(), self.credentials.password.expose());
        match self.method.as_mut()? {
            Method::Basic => Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}")))),
            Method::Digest(digest_challenge) => {
                let method = HttpMethod(Cow::Borrowed(request.method));
                let mut context =
                    AuthContext::new_with_method(user, password, request.target, None::<&[u8]>, method);
                let has_auth = digest_challenge.qop.as_ref().is_none_or(|qop| qop.contains(&Qop::AUTH));
                if !has_auth {
                    context.body = Some(Cow::Borrowed(b""));
                }
                digest_challenge.respond(&context).ok().map(|answer| answer.to_string())
            }
        }
    }

    /// Reads the challenges of a 401 response, and remembers one for the next request: a Digest challenge that Framecast
    /// supports or, if there is none, a Basic challenge. If the server offers neither, changes nothing. `is_encrypted`
    /// says whether the response came over TLS.
    pub(crate) fn handle_challenge(&mut self, is_encrypted: bool, head: &Head) -> AuthOutcome {
        let challenges: Vec<Challenge> =
            head.get_all("WWW-Authenticate").flat_map(parse_challenges).collect();
        let digest = challenges.iter().filter(|c| c.scheme == "digest").find_map(digest_challenge);
        if let Some(digest_challenge) = digest {
            self.is_tls = is_encrypted;
            let outcome =
                if digest_challenge.stale { AuthOutcome::StaleNonce } else { AuthOutcome::Challenged };
            self.method = Some(Method::Digest(Box::new(digest_challenge)));
            outcome
        } else if challenges.iter().any(|c| c.scheme == "basic") {
            self.is_tls = is_encrypted;
            self.method = Some(Method::Basic);
            AuthOutcome::Challenged
        } else {
            AuthOutcome::Unsupported
        }
    }
}

/// Returns whether a challenge in `head` contains bytes that are not UTF-8. Decoding loses those bytes, so a Digest
/// response to this challenge cannot be computed.
pub(crate) fn has_invalid_utf8(head: &Head) -> bool {
    head.get_all("WWW-Authenticate").any(|challenge| challenge.contains(char::REPLACEMENT_CHARACTER))
}

/// Parses a Digest challenge. Returns `None` if its hash algorithm is not supported or it has no nonce.
fn digest_challenge(challenge: &Challenge) -> Option<WwwAuthenticateHeader> {
    let algorithm = match challenge.get("algorithm") {
        None => Default::default(),
        // Cameras write the name in any case; the session variants end in lower case.
        Some(name) => name.to_ascii_uppercase().replace("-SESS", "-sess").parse().ok()?,
    };
    let qop = match challenge.get("qop") {
        None => None,
        Some(list) => {
            let mut known: Vec<Qop> =
                list.split(',').filter_map(|name| name.trim().to_ascii_lowercase().parse().ok()).collect();
            // The crate prefers `auth-int`, but few servers support it, and many of these get it wrong.
            if known.contains(&Qop::AUTH) {
                known.retain(|qop| *qop == Qop::AUTH);
            }
            (!known.is_empty()).then_some(known)
        }
    };
    let is_true = |name| challenge.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Some(WwwAuthenticateHeader {
        domain: None,
        realm: challenge.get("realm").unwrap_or_default().to_owned(),
        nonce: challenge.get("nonce")?.to_owned(),
        opaque: challenge.get("opaque").map(str::to_owned),
        stale: is_true("stale"),
        algorithm,
        qop,
        userhash: is_true("userhash"),
        charset: Charset::UTF8,
        nc: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::HeadReader;

    fn login() -> Login {
        Login::new(Credentials { user: Secret::new("me"), password: Secret::new("p@ß") })
    }

    /// A GET of `target`.
    fn get(target: &str, is_encrypted: bool) -> RequestLine<'_> {
        RequestLine { method: "GET", target, is_encrypted }
    }

    fn head(challenges: &[&str]) -> Head {
        let lines: String = challenges.iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
        let text = format!("HTTP/1.1 401 Unauthorized\r\n{lines}\r\n");
        HeadReader::default().read(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn digest_is_preferred_wherever_it_stands() {
        for values in [
            &[r#"Basic realm="a", Digest realm="a", nonce="n", qop="auth-int, auth""#][..],
            &[r#"Basic realm="a""#, r#"Digest realm="a", nonce="n", qop="auth""#],
            &[r#"Digest realm="a", nonce="m", algorithm=WHIRL"#, r#"digest nonce="n",realm="a",qop=auth"#],
        ] {
            let mut login = login();
            assert_eq!(login.handle_challenge(false, &head(values)), AuthOutcome::Challenged);
            for count in ["nc=00000001", "nc=00000002"] {
                let text = login.authorization(get("/v?x=1", false)).unwrap();
                assert!(text.starts_with("Digest "), "{text}");
                for part in [count, r#"nonce="n""#, r#"uri="/v?x=1""#, "qop=auth,"] {
                    assert!(text.contains(part), "{part} in {text}");
                }
            }
        }
    }

    #[test]
    fn basic_is_used_where_digest_cannot_be() {
        let mut login = login();
        let odd = head(&[r#"Digest realm="a", nonce="n", algorithm=TOKEN, Basic realm="a""#]);
        assert_eq!(login.handle_challenge(false, &odd), AuthOutcome::Challenged);
        let value = login.authorization(get("/", false)).unwrap();
        assert_eq!(value, format!("Basic {}", BASE64.encode("me:p@ß")));
    }

    #[test]
    fn nothing_is_sent_before_the_server_asks_or_when_it_asks_for_something_else() {
        let mut login = login();
        assert_eq!(login.authorization(get("/", false)), None);
        for odd in ["Negotiate", "Bearer realm=\"x\"", "Digest realm=\"x\"", ""] {
            assert_eq!(login.handle_challenge(false, &head(&[odd])), AuthOutcome::Unsupported, "{odd}");
            assert_eq!(login.authorization(get("/", false)), None);
        }
    }

    #[test]
    fn a_nonce_that_was_good_once_is_not_tried_again() {
        let mut login = login();
        let challenge = head(&[r#"Digest realm="a", nonce="n", qop="auth""#]);
        login.handle_challenge(false, &challenge);
        login.succeeded();
        assert!(login.authorization(get("/", false)).is_some());
        login.forget();
        assert_eq!(login.authorization(get("/", false)), None);
        login.handle_challenge(false, &challenge);
        assert!(login.authorization(get("/", false)).is_some());
        login.succeeded();
        assert_eq!(login.authorization(get("/", false)), None, "the next request is challenged");
    }

    #[test]
    fn what_was_asked_for_over_tls_is_not_sent_in_the_clear() {
        let mut login = login();
        let (open, protected) = (get("/", false), get("/", true));
        login.handle_challenge(true, &head(&["Basic realm=\"a\""]));
        assert_eq!(login.authorization(open), None);
        assert!(login.authorization(protected).is_some());
        login.handle_challenge(false, &head(&["Basic realm=\"a\""]));
        assert!(login.authorization(open).is_some(), "it asked in the clear, as its URL says");
    }

    #[test]
    fn percent_signs_that_encode_nothing_stay() {
        let mut url = Url::parse("http://a%40b%C3%9F%zz%4:%@cam/").unwrap();
        let credentials = Credentials::take_from(&mut url).unwrap();
        assert_eq!((credentials.user.expose(), credentials.password.expose()), ("a@bß%zz%4", "%"));
    }
}
