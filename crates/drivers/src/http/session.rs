//! Sends the requests of one source: adds the source's login and cookies, and follows redirects.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::address_policy::AddressPolicy;
use super::client::{HttpClient, Request, RequestError, Response};
use super::cookie::Cookies;
use super::redirect;
use super::target::{HttpTarget, RedirectPolicy};
use crate::Error;
use crate::error::is_busy_status;
use crate::login::{AuthOutcome, Login, RequestLine, has_invalid_utf8};

const MAX_REDIRECTS: usize = 5;

/// The maximum number of login challenges to which the session responds during one request: the first one, and a second
/// one if the nonce has expired by then.
const MAX_LOGIN_ATTEMPTS: usize = 2;

/// Requests one source's URL again and again. Dropping the session closes its connection.
pub(super) struct Session {
    target: Arc<HttpTarget>,
    client: HttpClient,
    login: Option<Login>,
    cookies: Cookies,
    /// Whether the last response set a cookie that its request had not sent.
    has_new_cookie: bool,
    /// The camera's IP address, to which redirects are always allowed; `None` before the camera's first response.
    address: Option<IpAddr>,
    /// The status of the last response; `None` if the last request got no usable response.
    status: Option<u16>,
}

/// The response to a request for one URL, sent with the login if the server asked for it.
struct AuthResponse {
    response: Response,
    /// Whether the camera refused a login that was sent in response to its own challenge, so that the user or password
    /// must be wrong.
    is_login_wrong: bool,
}

impl Session {
    /// Creates a session that is not connected yet.
    pub(super) fn new(target: HttpTarget) -> Self {
        Self {
            client: HttpClient::new(target.connect_timeout()),
            login: target.credentials.clone().map(Login::new),
            cookies: Cookies::default(),
            has_new_cookie: false,
            address: None,
            status: None,
            target: Arc::new(target),
        }
    }

    /// Returns the source's parsed URL and options.
    pub(super) fn target(&self) -> &Arc<HttpTarget> {
        &self.target
    }

    /// Sends one request, follows redirects, and returns the last response, whose status is always 2xx.
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::EndedEarly`], [`Error::TimedOut`], or [`Error::UnexpectedAnswer`] for any status
    /// other than 2xx.
    pub(super) async fn get(&mut self) -> Result<Response, Error> {
        let target = Arc::clone(&self.target);
        let limit = target.answer_timeout();
        self.status = None;
        self.has_new_cookie = false;
        let answer = tokio::time::timeout(limit, self.follow_redirects())
            .await
            .map_err(|_| target.timeout_error("an answer", limit))??;
        let status = answer.response.head().status();
        self.status = Some(status);
        if matches!(status, 200..300) {
            if let Some(login) = &mut self.login {
                login.succeeded();
            }
            return Ok(answer.response);
        }
        Err(self.status_error(&answer))
    }

    /// Takes back a response that the caller has finished reading, so that the next request can reuse the connection.
    pub(super) fn recycle(&mut self, response: Response) {
        self.client.recycle(response);
    }

    /// Returns whether the last response set a new cookie. If so, the same request, repeated with the cookie, may get a
    /// different response.
    pub(super) fn has_new_cookie(&self) -> bool {
        self.has_new_cookie
    }

    /// Returns whether the next request may succeed after the last one ended with `error`: true if a connection broke,
    /// or if the server was busy or sent no picture; false if the server refuses.
    pub(super) fn may_recover_soon(&self, error: &Error) -> bool {
        match error {
            Error::Connection { .. } | Error::EndedEarly { .. } | Error::TimedOut { .. } => true,
            Error::UnexpectedAnswer { .. } => {
                self.status.is_some_and(|status| matches!(status, 200..300) || is_busy_status(status))
            }
            _ => false,
        }
    }

    async fn follow_redirects(&mut self) -> Result<AuthResponse, Error> {
        let target = Arc::clone(&self.target);
        let mut url = target.url.clone();
        let mut is_trusted = true;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_with_login(&url, is_trusted).await?;
            let head = answer.response.head();
            let Some(next) = redirect::location(&target, head, &url)? else {
                if head.status() == 401 && self.login.is_some() && !is_trusted {
                    return Err(target.unexpected_answer(
                        format!("{} from {}, after a redirect", head.status_line(), redirect::shown_origin(&url)),
                        "Framecast sends the password only to the host in the URL; write the address that the camera \
                         redirects to in the URL",
                    ));
                }
                return Ok(answer);
            };
            let is_same = redirect::is_same_server(&url, &next);
            if is_trusted && self.login.is_some() && redirect::is_downgrade(&url, &next) {
                return Err(target.unexpected_answer(
                    format!("{}, a redirect to {}", head.status_line(), redirect::shown_origin(&next)),
                    "Framecast does not send the password unencrypted after a redirect; to allow it, write http: in \
                     the URL",
                ));
            }
            if !is_same && target.redirects == RedirectPolicy::Same {
                return Err(target.unexpected_answer(
                    format!("{}, a redirect to {}", head.status_line(), redirect::shown_origin(&next)),
                    "#redirect=same allows no other server; write the address that the camera redirects to, or \
                     #redirect=any",
                ));
            }
            tracing::debug!(status = head.status(), to = redirect::origin_with_port(&next), "redirected");
            self.recycle(answer.response);
            is_trusted &= is_same;
            url = next;
        }
        Err(target.unexpected_answer(
            format!(
                "with more than {MAX_REDIRECTS} redirects, the last one to {}",
                redirect::shown_origin(&url)
            ),
            "the redirects may form a loop; open the address in a browser and use the address that the \
             browser shows in the end",
        ))
    }

    /// Sends one request for `url`. If the server asks for a login, and `is_trusted` is true (no redirect has led to
    /// another server), repeats the request with user and password.
    ///
    /// The login that earlier requests used may have expired. Servers signal that in different ways: with status 401
    /// and a new challenge, with status 401 alone, or with status 403. Only the response to a fresh challenge shows
    /// whether the password is right.
    async fn send_with_login(&mut self, url: &Url, is_trusted: bool) -> Result<AuthResponse, Error> {
        let mut answered = 0;
        let mut was_forgotten = false;
        loop {
            let login = self.login.as_mut().filter(|_| is_trusted);
            let target = request_target(url);
            let request =
                RequestLine { method: "GET", target: &target, is_encrypted: url.scheme() == "https" };
            let authorization = login.and_then(|login| login.authorization(request));
            let is_remembered = authorization.is_some() && answered == 0;
            let response = self.send(url, is_trusted, authorization).await?;
            let status = response.head().status();
            let is_refused = status == 401 || (status == 403 && is_remembered);
            let is_login_wrong = answered > 0;
            let Some(login) = self.login.as_mut().filter(|_| is_trusted && is_refused) else {
                return Ok(AuthResponse { response, is_login_wrong: false });
            };
            let allowed = match login.handle_challenge(url.scheme() == "https", response.head()) {
                AuthOutcome::Unsupported if is_remembered && !was_forgotten => {
                    login.forget();
                    was_forgotten = true;
                    self.recycle(response);
                    continue;
                }
                AuthOutcome::Unsupported => 0,
                AuthOutcome::Challenged => 1,
                AuthOutcome::StaleNonce => MAX_LOGIN_ATTEMPTS,
            };
            if answered >= allowed {
                return Ok(AuthResponse { response, is_login_wrong });
            }
            answered += 1;
            self.recycle(response);
        }
    }

    async fn send(
        &mut self,
        url: &Url,
        is_trusted: bool,
        authorization: Option<String>,
    ) -> Result<Response, Error> {
        self.set_up_tls(url)?;
        let mut headers = Vec::new();
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let is_tls = url.scheme() == "https";
        headers.extend(self.cookies.header(is_tls).filter(|_| is_trusted).map(|value| ("Cookie", value)));
        let is_own = url.origin() == self.target.url.origin();
        let policy = if is_own { AddressPolicy::Any } else { AddressPolicy::RedirectedBy(self.address) };
        let response = match self.client.get(&Request { url, policy, headers: &headers }).await {
            Ok(response) => response,
            Err(RequestError::Forbidden) => {
                return Err(self.target.unexpected_answer(
                    format!("with a redirect to {}", redirect::shown_origin(url)),
                    "Framecast does not follow redirects to loopback, link-local or cloud metadata \
                     addresses; if you want that address, write it as the source",
                ));
            }
            Err(fault) if !is_own => return Err(redirected_source_error(&self.target, fault, url)),
            Err(fault) => return Err(source_error(&self.target, fault)),
        };
        if is_trusted {
            self.address = Some(response.address());
            for cookie in response.head().get_all("Set-Cookie") {
                self.has_new_cookie |= self.cookies.set(cookie, is_tls);
            }
        }
        Ok(response)
    }

    /// Sets up TLS if `url` is the first `https:` URL. This does not happen earlier, because reading the system's root
    /// certificates takes a moment.
    fn set_up_tls(&mut self, url: &Url) -> Result<(), Error> {
        if url.scheme() != "https" || self.client.has_tls() {
            return Ok(());
        }
        let config = if self.target.is_insecure {
            tracing::debug!("accepting any TLS certificate, so the server's identity is unknown");
            framecast_tls::unverified()
        } else {
            let roots = framecast_tls::system_roots();
            if roots.is_empty() {
                return Err(self.target.connection_error(
                    "this system has no root certificates, so Framecast cannot check the server's certificate; install \
                     the package `ca-certificates`, or write #insecure at the end of the URL to accept any certificate",
                ));
            }
            framecast_tls::verified_by(roots)
        };
        self.client.set_tls(config);
        Ok(())
    }

    fn status_error(&self, answer: &AuthResponse) -> Error {
        let head = answer.response.head();
        let advice = match head.status() {
            401 if self.login.is_none() => {
                "the camera asks for a user and a password: http://user:password@host/…"
            }
            401 if has_invalid_utf8(head) => {
                "the camera's realm is not UTF-8, so Framecast cannot compute a Digest login; read it with curl: \
                 `exec:curl -sSN --anyauth -u USER:PASSWORD ADDRESS`"
            }
            401 if answer.is_login_wrong => {
                "user or password is wrong; in a password write `@` as %40, `%` as %25. Some cameras lock an account \
                 after a few tries"
            }
            401 => {
                "the camera offers neither Basic nor Digest authentication; switch one of them on in its settings"
            }
            403 => "the camera refuses this user or this machine; check the camera's settings",
            404 => {
                "check the path; mjpg-streamer has /?action=stream, uStreamer /stream, ESP32-CAM :81/stream, \
                 Framecast /video_feed"
            }
            500..600 => "the server runs but has no pictures now; it may serve only one viewer at a time",
            _ => "open the address in a browser to see what it is",
        };
        self.target.unexpected_answer(head.status_line(), advice)
    }
}

/// Converts the error of a failed request into the error that the source reports.
pub(super) fn source_error(target: &HttpTarget, fault: RequestError) -> Error {
    match fault {
        RequestError::ConnectTimedOut => target.timeout_error("a connection", target.connect_timeout()),
        fault if fault.is_hang_up() => target.ended_early_error(fault.to_string()),
        fault => target.connection_error(fault.to_string()),
    }
}

/// Converts the error of a failed request to `url`, to which the camera has redirected, into the error that the source
/// reports.
fn redirected_source_error(target: &HttpTarget, fault: RequestError, url: &Url) -> Error {
    if matches!(fault, RequestError::ConnectTimedOut) {
        let awaited = "a connection to the address that the camera redirects to";
        return target.timeout_error(awaited, target.connect_timeout());
    }
    let place = redirect::shown_origin_from(&target.url, url);
    let told = format!("after a redirect to {place}: {}", fault.redirected_message());
    if fault.is_hang_up() { target.ended_early_error(told) } else { target.connection_error(told) }
}

/// Runs `work`, which reads part of a response, with the time limit `limit`. `awaited` names that part in the error.
pub(super) async fn with_timeout<T>(
    target: &HttpTarget,
    limit: Duration,
    awaited: &'static str,
    work: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(fault)) => Err(source_error(target, fault)),
        Err(_) => Err(target.timeout_error(awaited, limit)),
    }
}

/// Returns the path and query of `url`, as a request line contains them.
fn request_target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}
