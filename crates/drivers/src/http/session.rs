//! One source's requests: a connection kept alive, logged in, redirects followed.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect as client_redirect};
use rustls::ClientConfig;
use url::Url;

use super::auth::{Lesson, Login};
use super::target::Target;
use super::{redirect, tls};
use crate::Error;

const MAX_REDIRECTS: usize = 5;
/// For one request: with what the server asked for, and once more if its nonce was too old by then.
const MAX_LOGINS: usize = 2;
const USER_AGENT: &str = concat!("framecast/", env!("CARGO_PKG_VERSION"));

/// Asks the target's server again and again. Dropping it closes the connection.
pub(super) struct Session {
    target: Arc<Target>,
    open: Client,
    /// Made at the first `https:` URL: reading the system's root certificates takes a moment.
    protected: Option<Client>,
    login: Option<Login>,
    /// Whether a request was answered: then a kept connection may have been closed from the other side.
    has_answer: bool,
    /// What the last request came to; `None` where there was no answer of the camera itself.
    status: Option<StatusCode>,
}

impl Session {
    /// A session that has not connected yet.
    ///
    /// # Errors
    /// [`Error::Connection`] when the client cannot be set up.
    pub(super) fn new(target: Target) -> Result<Self, Error> {
        // Never used for TLS, yet the client wants to know: with no root, nothing is trusted.
        let open = client(&target, tls::verified_by(rustls::RootCertStore::empty()))?;
        let login = target.credentials.clone().map(Login::new);
        Ok(Self { target: Arc::new(target), open, protected: None, login, has_answer: false, status: None })
    }

    /// What the session asks for.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Asks once and returns the head of the last answer, whose status is a success.
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::TimedOut`], or [`Error::Answer`] for any status but success.
    pub(super) async fn get(&mut self) -> Result<Response, Error> {
        let target = Arc::clone(&self.target);
        // The connection has its own bound; what is left of this one is for the answer.
        let after = target.timeout * 2;
        self.status = None;
        let response = tokio::time::timeout(after, self.follow())
            .await
            .map_err(|_| target.timed_out("an answer", after))??;
        self.has_answer = true;
        self.status = Some(response.status());
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response.status()))
    }

    /// Whether `error`, which the last request ended with, may have passed at the next one: a connection that broke, a
    /// server that was busy; not one that refuses.
    pub(super) fn may_pass(&self, error: &Error) -> bool {
        match error {
            Error::Connection { .. } | Error::TimedOut { .. } => true,
            Error::Answer { .. } => self.status.is_some_and(|status| {
                let is_busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                is_busy || status.is_server_error()
            }),
            _ => false,
        }
    }

    async fn follow(&mut self) -> Result<Response, Error> {
        let target = Arc::clone(&self.target);
        let mut url = target.url.clone();
        let mut is_trusted = true;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.log_in(&url, is_trusted).await?;
            let Some(next) = redirect::location(&target, &response, &url)? else {
                if response.status() == StatusCode::UNAUTHORIZED && self.login.is_some() && !is_trusted {
                    return Err(target.answered(
                        format!("{} from another host, to which it redirects", response.status()),
                        "the password is sent to no host but the one in the URL; write there the address that it \
                         redirects to",
                    ));
                }
                return Ok(response);
            };
            if is_trusted && self.login.is_some() && redirect::is_downgrade(&url, &next) {
                return Err(target.answered(
                    format!("{} from https: to http:", response.status()),
                    "the password is not sent in the clear; use http: in the URL if that is what you want",
                ));
            }
            tracing::debug!(status = %response.status(), host = next.host_str(), "redirected");
            is_trusted &= redirect::is_same_server(&url, &next);
            url = next;
        }
        Err(target.answered(
            format!("more than {MAX_REDIRECTS} redirects"),
            "the server sends us round in circles; open the address in a browser and use the one it ends up at",
        ))
    }

    /// One request for `url`, repeated with user and password when the server asks and `is_trusted`.
    async fn log_in(&mut self, url: &Url, is_trusted: bool) -> Result<Response, Error> {
        let mut logins = 0;
        loop {
            let login = self.login.as_mut().filter(|_| is_trusted);
            let authorization = login.and_then(|login| login.authorization(url));
            let response = self.send(url, authorization).await?;
            let login = self.login.as_mut().filter(|_| is_trusted);
            let (StatusCode::UNAUTHORIZED, Some(login)) = (response.status(), login) else {
                return Ok(response);
            };
            // The first refusal may also mean that a nonce has run out, whether the server says so or not.
            let allowed = match login.learn(response.headers()) {
                Lesson::Nothing => 0,
                Lesson::Method => 1,
                Lesson::Stale => MAX_LOGINS,
            };
            if logins >= allowed {
                return Ok(response);
            }
            logins += 1;
        }
    }

    async fn send(&mut self, url: &Url, authorization: Option<HeaderValue>) -> Result<Response, Error> {
        let client = self.client_for(url)?;
        let request = || {
            let request = client.get(url.clone());
            match &authorization {
                Some(value) => request.header(AUTHORIZATION, value.clone()),
                None => request,
            }
        };
        match request().send().await {
            // A kept connection that the server closed meanwhile tells only when it is used.
            Err(error) if self.has_answer && error.is_request() && !error.is_connect() => {
                tracing::debug!("asking again on a new connection: {}", chain(&error));
                request().send().await
            }
            result => result,
        }
        .map_err(|error| connection_error(&self.target, error))
    }

    fn client_for(&mut self, url: &Url) -> Result<Client, Error> {
        if url.scheme() == "http" {
            return Ok(self.open.clone());
        }
        if let Some(client) = &self.protected {
            return Ok(client.clone());
        }
        let config = if self.target.is_insecure {
            tracing::debug!("any TLS certificate is accepted: who answers is not known");
            tls::unverified()
        } else {
            let roots = tls::system_roots();
            if roots.is_empty() {
                return Err(self.target.failed(
                    "this system has no root certificates to check the server's with; install the package \
                     `ca-certificates`, or accept any certificate by #insecure at the end of the URL",
                ));
            }
            tls::verified_by(roots)
        };
        let client = client(&self.target, config)?;
        self.protected = Some(client.clone());
        Ok(client)
    }

    fn refusal(&self, status: StatusCode) -> Error {
        let advice = match status {
            StatusCode::UNAUTHORIZED if self.login.is_none() => {
                "the camera asks for a user and a password: http://user:password@host/…"
            }
            StatusCode::UNAUTHORIZED => {
                "user or password is wrong, or the camera wants neither Basic nor Digest authentication; in a \
                 password write `@` as %40, `%` as %25"
            }
            StatusCode::FORBIDDEN => "the camera refuses this user or this address; look at its settings",
            StatusCode::NOT_FOUND => {
                "check the path; mjpg-streamer has /?action=stream, uStreamer /stream, ESP32-CAM :81/stream, \
                 Framecast /video_feed"
            }
            status if status.is_server_error() => {
                "the server is there but has no pictures now; it may serve only one viewer at a time"
            }
            _ => "open the address in a browser to see what it is",
        };
        self.target.answered(status.to_string(), advice)
    }
}

fn client(target: &Target, tls: ClientConfig) -> Result<Client, Error> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(client_redirect::Policy::none())
        .connect_timeout(target.timeout)
        .pool_max_idle_per_host(1)
        .http1_only()
        // The web servers in cameras are old and made in a hurry.
        .http1_title_case_headers()
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .build()
        .map_err(|error| target.failed(chain(&error.without_url())))
}

/// What went wrong with a connection, in one line.
pub(super) fn connection_error(target: &Target, error: reqwest::Error) -> Error {
    if error.is_timeout() && error.is_connect() {
        return target.timed_out("a connection", target.timeout);
    }
    let mut problem = chain(&error.without_url());
    if problem.contains("invalid peer certificate") {
        problem.push_str(
            "; if this is your own camera, accept any certificate by #insecure at the end of the URL",
        );
    } else if problem.contains("InvalidContentType") {
        "the server does not speak TLS here; try http://".clone_into(&mut problem);
    } else if problem.starts_with("dns error") {
        "no such host; check the name, or write the camera's address in numbers".clone_into(&mut problem);
    } else if problem.contains("Connection refused") {
        problem.push_str("; nothing listens there: is the camera on, and is the port right?");
    }
    target.failed(problem)
}

/// The causes of `error`, outermost first, without the client's own headings.
fn chain(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        let is_heading =
            text.starts_with("client error") || texts.last().is_some_and(|last| last.contains(&text));
        if !is_heading {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

/// How long the parts of an answer may take to come.
pub(super) async fn within<T>(
    target: &Target,
    limit: Duration,
    awaited: &'static str,
    work: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(connection_error(target, error)),
        Err(_) => Err(target.timed_out(awaited, limit)),
    }
}
