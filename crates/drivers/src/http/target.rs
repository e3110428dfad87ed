//! What a source's URL requests.

use std::time::Duration;

use url::Url;

use super::auth::Credentials;
use crate::{Error, SourceUrl, server_url};

const OPTIONS: &[&str] = &["fps", "insecure", "redirect", "silence", "timeout"];
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The supervisor decides how long a camera may take over a picture; it never waits longer than this.
const DEFAULT_PICTURE_TIMEOUT: Duration = Duration::from_secs(600);
const DEFAULT_SILENCE: Duration = Duration::from_secs(10);
const DEFAULT_FPS: f64 = 1.0;

/// Which redirects the session follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectPolicy {
    /// Only to the same server.
    Same,
    /// To other hosts too, without login and cookies.
    Any,
}

/// A parsed URL.
pub(super) struct HttpTarget {
    /// The URL to request: without user, password and fragment.
    pub(super) url: Url,
    /// The source for messages: scheme and host.
    pub(super) shown: String,
    /// User and password from the URL.
    pub(super) credentials: Option<Credentials>,
    /// The URL's time limit for the connection, and after it for the first picture.
    timeout: Option<Duration>,
    /// The URL's limit for the pause between two pictures of a stream, and for how long polls may fail once a picture
    /// is due. Without it the supervisor decides how long a stream may be silent.
    pub(super) silence: Option<Duration>,
    /// Which redirects the session follows.
    pub(super) redirects: RedirectPolicy,
    /// The time between two polls of a snapshot.
    pub(super) interval: Duration,
    /// Whether to accept any TLS certificate.
    pub(super) is_insecure: bool,
    /// The bound on one picture.
    pub(super) max_picture_bytes: usize,
}

impl HttpTarget {
    /// Parses `source` without touching the network.
    ///
    /// # Errors
    /// What is wrong with the URL or its options.
    pub(super) fn parse(source: &SourceUrl) -> Result<Self, Error> {
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
            max_picture_bytes: source.max_picture_bytes(),
            url,
        })
    }

    /// How long a connection may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT)
    }

    /// How long the first picture of a stream, or a whole snapshot, may take.
    pub(super) fn picture_timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_PICTURE_TIMEOUT)
    }

    /// How long an answer may take, including the connection.
    pub(super) fn answer_timeout(&self) -> Duration {
        self.connect_timeout() + self.picture_timeout()
    }

    /// How long polls may fail once a picture is due.
    pub(super) fn failure_tolerance(&self) -> Duration {
        self.silence.unwrap_or(DEFAULT_SILENCE)
    }

    /// The error for an answer without pictures.
    pub(super) fn unexpected_answer(&self, answer: impl Into<String>, advice: &'static str) -> Error {
        Error::UnexpectedAnswer { url: self.shown.clone(), answer: answer.into(), advice }
    }

    /// The error for a connection that failed.
    pub(super) fn connection_error(&self, problem: impl Into<String>) -> Error {
        Error::Connection { url: self.shown.clone(), problem: problem.into() }
    }

    /// The error for a server that was there, but gave no picture this time.
    pub(super) fn ended_early_error(&self, problem: impl Into<String>) -> Error {
        Error::EndedEarly { url: self.shown.clone(), problem: problem.into() }
    }

    /// The error for `awaited`, which did not come.
    pub(super) fn timeout_error(&self, awaited: &'static str, after: Duration) -> Error {
        Error::TimedOut { what: self.shown.clone(), awaited, after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> HttpTarget {
        HttpTarget::parse(&SourceUrl::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn the_server_gets_path_and_query_but_neither_password_nor_options() {
        let target = target("http://me:s%40crét@cam:81/a/../b?action=stream&x#timeout=3s&insecure");
        assert_eq!(target.url.as_str(), "http://cam:81/b?action=stream&x");
        assert_eq!(target.connect_timeout(), Duration::from_secs(3));
        assert_eq!(target.redirects, RedirectPolicy::Any);
        assert!(target.is_insecure);
        assert_eq!(target.credentials.unwrap(), Credentials { user: "me".into(), password: "s@crét".into() });
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
            HttpTarget::parse(&source).err().unwrap().to_string()
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
            let error = HttpTarget::parse(&SourceUrl::parse(bad).unwrap()).err().unwrap().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
