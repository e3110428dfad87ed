//! What to request from a server, parsed from a source's URL.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::login::Credentials;
use crate::{Clock, Error, OpenContext, SourceUrl, server_url};

const OPTIONS: &[&str] = &["fps", "insecure", "redirect", "silence", "timeout"];
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for a picture if the URL sets none. The supervisor, which keeps the camera open, has its own limit
/// for the time that a camera can take for a picture, which is never longer than this one.
const DEFAULT_PICTURE_TIMEOUT: Duration = Duration::from_secs(600);
const DEFAULT_SILENCE: Duration = Duration::from_secs(10);
const DEFAULT_FPS: f64 = 1.0;

/// Whether redirects to other servers are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectPolicy {
    /// Follows a redirect only within one server, or from `http:` to `https:` on the same host.
    Same,
    /// Follows redirects to other hosts too, but sends them no login and no cookies.
    Any,
}

/// A parsed source URL with its options.
pub(super) struct HttpTarget {
    /// The URL to request, without user, password and fragment.
    pub(super) url: Url,
    /// The source as messages show it: scheme and host.
    pub(super) shown: String,
    /// The user and password from the URL.
    pub(super) credentials: Option<Credentials>,
    /// The `timeout` option of the URL: the time limit for establishing the connection, and after that for the first
    /// picture.
    timeout: Option<Duration>,
    /// The `silence` option of the URL: the longest pause between two pictures of a stream, and the longest time for
    /// which polls are allowed to fail once a picture is due. If this field is `None`, the supervisor, which keeps the
    /// camera open, decides how long a stream can be silent.
    pub(super) silence: Option<Duration>,
    /// Whether redirects to other servers are followed.
    pub(super) redirects: RedirectPolicy,
    /// The time between the starts of two polls of a snapshot.
    pub(super) interval: Duration,
    /// Whether to accept any TLS certificate.
    pub(super) is_insecure: bool,
    /// The maximum size of one picture, in bytes.
    pub(super) max_picture_bytes: usize,
    /// The clocks by which pictures arrive.
    pub(super) clock: Arc<dyn Clock>,
}

impl HttpTarget {
    /// Parses `source` without touching the network. The limits and clocks are those of `context`.
    ///
    /// # Errors
    /// What is wrong with the URL or its options.
    pub(super) fn parse(source: &SourceUrl, context: &OpenContext) -> Result<Self, Error> {
        let options = source.fragment_options(OPTIONS)?;
        let mut url = server_url::parse(source)?;
        let credentials = Credentials::take_from(&mut url);
        url.set_fragment(None);
        let interval = if options.get("fps").is_some() {
            options.frame_interval(DEFAULT_FPS)?
        } else {
            server_url::frame_interval(&url).unwrap_or(Duration::from_secs_f64(1.0 / DEFAULT_FPS))
        };
        let redirects = match options.get("redirect") {
            None | Some("any") => RedirectPolicy::Any,
            Some("same") => RedirectPolicy::Same,
            Some(_) => return Err(options.refuse("redirect", "must be `same` or `any`")),
        };
        let duration = |name: &'static str| {
            options.get(name).map(|_| options.duration(name, Duration::ZERO)).transpose()
        };
        Ok(Self {
            shown: source.to_string(),
            credentials,
            timeout: duration("timeout")?,
            silence: duration("silence")?,
            redirects,
            interval,
            is_insecure: options.is_set("insecure")?,
            max_picture_bytes: context.max_picture_bytes(),
            clock: Arc::clone(context.clock()),
            url,
        })
    }

    /// Returns the time limit for establishing a connection.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT)
    }

    /// Returns the time limit for the first picture of a stream, or for a whole snapshot.
    pub(super) fn picture_timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_PICTURE_TIMEOUT)
    }

    /// Returns the time limit for establishing the connection and receiving the head of the response, redirects
    /// included.
    pub(super) fn answer_timeout(&self) -> Duration {
        self.connect_timeout() + self.picture_timeout()
    }

    /// Returns for how long polls are allowed to fail after the time at which a picture was due.
    pub(super) fn failure_tolerance(&self) -> Duration {
        self.silence.unwrap_or(DEFAULT_SILENCE)
    }

    /// Creates the error for a response without pictures. `answer` completes the message "the server answered …".
    pub(super) fn unexpected_answer(&self, answer: impl Into<String>, advice: &'static str) -> Error {
        Error::UnexpectedAnswer { url: self.shown.clone(), answer: answer.into(), advice }
    }

    /// Creates the error for a connection that failed. `problem` says why.
    pub(super) fn connection_error(&self, problem: impl Into<String>) -> Error {
        Error::Connection { url: self.shown.clone(), problem: problem.into() }
    }

    /// Creates the error for a server that could be reached but delivered no picture this time. `problem` says why.
    pub(super) fn ended_early_error(&self, problem: impl Into<String>) -> Error {
        Error::EndedEarly { url: self.shown.clone(), problem: problem.into() }
    }

    /// Creates the error for something that did not arrive within the time `after`. `awaited` names it, such as "the
    /// first picture".
    pub(super) fn timeout_error(&self, awaited: &'static str, after: Duration) -> Error {
        Error::TimedOut { what: self.shown.clone(), awaited, after }
    }
}

#[cfg(test)]
mod tests {
    use framecast_media::Secret;

    use super::*;

    fn target(text: &str) -> HttpTarget {
        HttpTarget::parse(&SourceUrl::parse(text).unwrap(), &OpenContext::default()).unwrap()
    }

    #[test]
    fn the_server_gets_path_and_query_but_neither_password_nor_options() {
        let target = target("http://me:s%40crét@cam:81/a/../b?action=stream&x#timeout=3s&insecure");
        assert_eq!(target.url.as_str(), "http://cam:81/b?action=stream&x");
        assert_eq!(target.connect_timeout(), Duration::from_secs(3));
        assert_eq!(target.redirects, RedirectPolicy::Any);
        assert!(target.is_insecure);
        assert_eq!(
            target.credentials.unwrap(),
            Credentials { user: Secret::new("me"), password: Secret::new("s@crét") }
        );
    }

    #[test]
    fn the_rate_is_read_from_the_query_unless_the_fragment_says_it() {
        for (text, interval_ms) in [
            ("http://cam/a.jpg", 1000),
            ("http://cam/a.jpg?fps=4", 250),
            ("http://cam/a.jpg?fps=auto", 1000),
            ("http://cam/a.jpg?fps=4#fps=2", 500),
        ] {
            assert_eq!(target(text).interval, Duration::from_millis(interval_ms), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_slip_is_told_what_was_meant() {
        let refusal = |text: &str| {
            let source = SourceUrl::parse(text).unwrap();
            HttpTarget::parse(&source, &OpenContext::default()).err().unwrap().to_string()
        };
        for text in ["http:/127.0.0.1/x", "http:127.0.0.1/x", "http:///127.0.0.1/x"] {
            let expected = "needs two slashes before the host; write `http://ADDRESS`";
            assert!(refusal(text).ends_with(expected), "{}", refusal(text));
        }
        assert!(refusal("http://cam/my video").contains("contains a space; write a space as %20"));
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_without_showing_the_password() {
        for bad in [
            "http://",
            "http:/me:s3cret@cam/",
            "http://me:s3cret@cam/a b",
            "http://me:s3cret/x@cam/",
            "http://cam/#fps=0",
            "http://cam/#fast",
            "http://cam/#redirect=never",
            "http://cam:x/",
        ] {
            let error = HttpTarget::parse(&SourceUrl::parse(bad).unwrap(), &OpenContext::default())
                .err()
                .unwrap()
                .to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
