//! What to request from a camera, parsed from a source's URL.

use std::fmt;
use std::time::Duration;

use url::{Host, Url};

use crate::login::{Credentials, Login};
use crate::{Error, Options, SourceUrl, server_url};

const OPTIONS: &[&str] = &["fps", "size", "timeout", "transport"];

/// The default time limit for the camera's response to a request. The first picture can take longer. A camera that
/// accepts connections but does not respond within this limit is asked again with [`SLOW_ANSWER_TIMEOUT`].
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// The time limit for the response to the second request, if a camera accepts connections but has not responded to the
/// first one. It is long because some cameras must wake up first.
pub(super) const SLOW_ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The default ports of `rtsp:` and `rtsps:`.
const PORTS: (u16, u16) = (554, 322);

/// The transport over which a camera sends its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// The packets come within the RTSP connection itself.
    Tcp,
    /// The packets come as UDP datagrams, outside the RTSP connection.
    Udp,
}

impl Transport {
    /// Returns the transport's name in a URL and in ffmpeg's script.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The range of the width and height of a re-encoded picture, in pixels. Below 16 pixels nothing is recognisable.
const SIDES_PX: (u32, u32) = (16, 8192);

/// A parsed source URL with its options.
#[derive(Clone)]
pub(super) struct RtspTarget {
    /// The URL for ffmpeg, with the password and without the fragment. It contains neither quotes nor white space.
    pub(super) address: String,
    /// The URL for the client: without the login and the fragment.
    pub(super) plain_url: String,
    credentials: Option<Credentials>,
    /// The text by which messages name the camera: scheme and host.
    pub(super) shown: String,
    pub(super) has_login: bool,
    /// The maximum number of frames per second; `None` if the URL does not set it.
    pub(super) fps: Option<f64>,
    /// The width and height of the re-encoded picture, in pixels; `None` if the URL does not set them.
    pub(super) size_px: Option<(u32, u32)>,
    /// The transports to try, the preferred one first.
    pub(super) transports: &'static [Transport],
    /// The time limit for each response of the camera and for each pause of its stream; `None` if the URL does not set
    /// it.
    pub(super) timeout: Option<Duration>,
    /// The host and port to connect to.
    pub(super) host_and_port: (String, u16),
}

/// Omits the address, which contains the password.
impl fmt::Debug for RtspTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtspTarget({})", self.shown)
    }
}

impl RtspTarget {
    /// Parses `source` without touching the network.
    ///
    /// # Errors
    /// What is wrong with the URL or its options.
    pub(super) fn parse(source: &SourceUrl) -> Result<Self, Error> {
        let options = source.fragment_options(OPTIONS)?;
        let mut url = server_url::parse(source)?;
        url.set_fragment(None);
        let interval = match options.get("fps") {
            Some(_) => Some(options.frame_interval(1.0)?),
            None => server_url::frame_interval(&url),
        };
        let size_px = match options.get("size") {
            Some(_) => Some(options.size((0, 0), SIDES_PX.0, SIDES_PX.1)?),
            None => size_of_query(&url),
        };
        let mut plain_url = url.clone();
        let credentials = Credentials::take_from(&mut plain_url);
        Ok(Self {
            plain_url: plain_url.into(),
            credentials,
            // A single quote ends a quoted text in ffmpeg's script; elsewhere in a URL both spellings mean the same.
            address: url.as_str().replace('\'', "%27"),
            shown: source.to_string(),
            has_login: !url.username().is_empty() || url.password().is_some(),
            fps: interval.map(|interval| 1.0 / interval.as_secs_f64()),
            size_px,
            transports: transports(&options, url.scheme() == "rtsps")?,
            timeout: options
                .get("timeout")
                .map(|_| options.duration("timeout", ANSWER_TIMEOUT))
                .transpose()?,
            host_and_port: host_and_port(&url),
        })
    }

    /// Returns the login for the camera; `None` if the URL has none.
    pub(super) fn login(&self) -> Option<Login> {
        self.credentials.clone().map(Login::new)
    }

    /// Returns the time limit for each response of the camera.
    pub(super) fn answer_timeout(&self) -> Duration {
        self.timeout.unwrap_or(ANSWER_TIMEOUT)
    }

    /// Returns whether the connection uses TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.address.starts_with("rtsps:")
    }

    /// Returns whether the camera is read without ffmpeg if it sends H.264 or H.265. In another rate or size, the pictures
    /// must be coded anew. Our own client has no TLS.
    pub(super) fn is_native(&self) -> bool {
        self.fps.is_none() && self.size_px.is_none() && !self.is_encrypted()
    }

    /// Creates the error for a camera that does not respond within the time `after`.
    pub(super) fn timeout_error(&self, after: Duration) -> Error {
        Error::TimedOut { what: self.shown.clone(), awaited: "the camera's answer", after }
    }

    /// Creates the error for a response without pictures.
    pub(super) fn unexpected_answer(&self, answer: impl Into<String>, advice: &'static str) -> Error {
        Error::UnexpectedAnswer { url: self.shown.clone(), answer: answer.into(), advice }
    }

    /// Creates the error for a connection that failed.
    pub(super) fn connection_error(&self, problem: impl Into<String>) -> Error {
        Error::Connection { url: self.shown.clone(), problem: problem.into() }
    }
}

/// Returns the transports to try, the preferred one first. Encrypted packets can be sent only over TCP.
fn transports(options: &Options<'_>, is_encrypted: bool) -> Result<&'static [Transport], Error> {
    match (options.get("transport"), is_encrypted) {
        (None | Some("auto"), false) => Ok(&[Transport::Tcp, Transport::Udp]),
        (None | Some("auto" | "tcp"), _) => Ok(&[Transport::Tcp]),
        (Some("udp"), false) => Ok(&[Transport::Udp]),
        (Some("udp"), true) => {
            Err(options.refuse("transport", "must be tcp or auto: `rtsps:` works only over TCP"))
        }
        (Some(_), _) => Err(options.refuse("transport", "must be tcp, udp or auto")),
    }
}

/// Returns the host and port to connect to.
fn host_and_port(url: &Url) -> (String, u16) {
    let usual = if url.scheme() == "rtsps" { PORTS.1 } else { PORTS.0 };
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        host => host.map(|host| host.to_string()).unwrap_or_default(),
    };
    (host, url.port().unwrap_or(usual))
}

/// Returns the picture size in the query parameter `size` of `url`; `None` if it is missing or a side is outside
/// [`SIDES_PX`]. The query is meant for the camera, so it can contain anything, and an unusable size is not an error.
fn size_of_query(url: &Url) -> Option<(u32, u32)> {
    let (_, value) = url.query_pairs().filter(|(name, _)| name == "size").last()?;
    let (width, height) = value.split_once('x')?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (SIDES_PX.0..=SIDES_PX.1).contains(side));
    side(width).zip(side(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(text: &str) -> Result<RtspTarget, Error> {
        RtspTarget::parse(&SourceUrl::parse(text).unwrap())
    }

    #[test]
    fn the_camera_gets_path_and_query_and_ffmpeg_the_password_but_neither_gets_the_options() {
        let target =
            parse("rtsp://me:s%40cr'et@cam:8554/live?channel=1&subtype=0#fps=5&size=640x360").unwrap();
        assert_eq!(target.address, "rtsp://me:s%40cr%27et@cam:8554/live?channel=1&subtype=0");
        assert_eq!(target.shown, "rtsp://cam");
        assert!(target.has_login);
        assert_eq!((target.fps, target.size_px), (Some(5.0), Some((640, 360))));
        let plain = parse("rtsps://cam").unwrap();
        assert_eq!((plain.address.as_str(), plain.fps, plain.size_px), ("rtsps://cam", None, None));
        assert!(!plain.has_login);
    }

    #[test]
    fn rate_and_size_are_read_from_the_query_unless_the_fragment_says_them() {
        for (text, fps, size_px) in [
            ("rtsp://cam/1?fps=5&size=640x360", Some(5.0), Some((640, 360))),
            ("rtsp://cam/1?fps=5&size=640x360#fps=2&size=320x180", Some(2.0), Some((320, 180))),
            ("rtsp://cam/1?fps=auto&size=large", None, None),
            ("rtsp://cam/1?size=100000x1", None, None),
        ] {
            let target = parse(text).unwrap();
            assert_eq!((target.fps, target.size_px), (fps, size_px), "{text}");
            assert!(text.starts_with(&target.address), "{}", target.address);
        }
    }

    #[test]
    fn tcp_is_tried_first_and_udp_where_packets_are_not_encrypted() {
        use Transport::{Tcp, Udp};
        for (text, transports) in [
            ("rtsp://cam/1", &[Tcp, Udp][..]),
            ("rtsp://cam/1#transport=auto", &[Tcp, Udp]),
            ("rtsp://cam/1#transport=tcp", &[Tcp]),
            ("rtsp://cam/1#transport=udp", &[Udp]),
            ("rtsps://cam/1", &[Tcp]),
            ("rtsps://cam/1#transport=auto", &[Tcp]),
        ] {
            assert_eq!(parse(text).unwrap().transports, transports, "{text}");
        }
    }

    #[test]
    fn host_and_port_are_known_without_the_port_being_named() {
        for (text, host, port) in [
            ("rtsp://cam/1", "cam", 554),
            ("rtsps://me:s3cret@10.0.0.5/1", "10.0.0.5", 322),
            ("rtsp://[fe80::1]:8554/1", "fe80::1", 8554),
        ] {
            assert_eq!(parse(text).unwrap().host_and_port, (host.to_owned(), port), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_without_showing_the_password() {
        for (bad, told) in [
            ("rtsp://", "names no host"),
            ("rtsp:/me:s3cret@cam/1", "needs two slashes"),
            ("rtsp://me:s3cret@cam/a b", "contains a space"),
            ("rtsp://me:s3cret/x@cam/1", "has an `@` after its host"),
            ("rtsp://me:s3cret@cam:x/1", "cannot be read"),
            ("rtsp://me:s3cret@cam/1#fps=0", "frames per second from"),
            ("rtsp://me:s3cret@cam/1#size=1x1", "each side from 16 to 8192"),
            ("rtsp://me:s3cret@cam/1#transport=http", "must be tcp, udp or auto"),
            ("rtsps://me:s3cret@cam/1#transport=udp", "`rtsps:` works only over TCP"),
            ("rtsp://me:s3cret@cam/1#latency=0", "known options: fps, size, timeout, transport"),
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fatal);
            let error = error.to_string();
            assert!(error.contains(told) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_password_with_a_plain_hash_in_it_is_not_shown_either() {
        for bad in ["rtsp://me:wide#s3cret@cam/1", "rtsp://me:12#s3cret@cam/1", "rtsp://me:#s3cret&x@cam"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("write `#` as %23") && !error.contains("s3cret"), "{error}");
        }
    }
}
