//! What a source's URL asks for.

use std::time::Duration;

use url::Url;

use crate::{Error, SourceUrl, address};

const OPTIONS: &[&str] = &["fps", "size", "timeout"];

/// Less than the `stall_timeout` that a camera has unless told otherwise, so that this says first what is wrong.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(4);

/// What is encoded again may be this large a side; smaller than 16 pixels is no picture.
const SIDES_PX: (u32, u32) = (16, 8192);

/// A URL taken apart.
#[derive(Debug)]
pub(super) struct Target {
    /// The URL as ffmpeg is given it: password included, fragment not. Neither quotes nor white space are in it.
    pub(super) address: String,
    /// The URL for messages, secrets masked.
    pub(super) shown: String,
    pub(super) has_login: bool,
    /// The most frames per second that are wanted.
    pub(super) fps: Option<f64>,
    /// Width and height in pixels that are wanted.
    pub(super) size_px: Option<(u32, u32)>,
    /// How long the camera may take to answer, and afterwards to send anything.
    pub(super) timeout: Duration,
}

impl Target {
    /// Takes `source` apart without touching the network.
    ///
    /// # Errors
    /// What is wrong with the URL or its options.
    pub(super) fn parse(source: &SourceUrl) -> Result<Self, Error> {
        let options = source.fragment_options(OPTIONS)?;
        let mut url = address::parse(source)?;
        url.set_fragment(None);
        let interval = match options.get("fps") {
            Some(_) => Some(options.frame_interval(1.0)?),
            None => address::frame_interval(&url),
        };
        let size_px = match options.get("size") {
            Some(_) => Some(options.size((0, 0), SIDES_PX.0, SIDES_PX.1)?),
            None => size_of_query(&url),
        };
        Ok(Self {
            // What ends a quoted text in ffmpeg's script; elsewhere in a URL both spellings mean the same.
            address: url.as_str().replace('\'', "%27"),
            shown: source.to_string(),
            has_login: !url.username().is_empty() || url.password().is_some(),
            fps: interval.map(|interval| 1.0 / interval.as_secs_f64()),
            size_px,
            timeout: options.duration("timeout", DEFAULT_TIMEOUT)?,
        })
    }

    pub(super) fn timed_out(&self) -> Error {
        Error::TimedOut { what: self.shown.clone(), awaited: "the camera's answer", after: self.timeout }
    }

    /// The error for an answer without pictures.
    pub(super) fn answered(&self, answer: impl Into<String>, advice: &'static str) -> Error {
        Error::Answer { url: self.shown.clone(), answer: answer.into(), advice }
    }

    /// The error for a connection that failed.
    pub(super) fn failed(&self, problem: impl Into<String>) -> Error {
        Error::Connection { url: self.shown.clone(), problem: problem.into() }
    }
}

/// The size in the query, if it is one that can be made: the query is the camera's, so anything may stand there.
fn size_of_query(url: &Url) -> Option<(u32, u32)> {
    let (_, value) = url.query_pairs().filter(|(name, _)| name == "size").last()?;
    let (width, height) = value.split_once('x')?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (SIDES_PX.0..=SIDES_PX.1).contains(side));
    side(width).zip(side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, Error> {
        Target::parse(&SourceUrl::parse(text).unwrap())
    }

    #[test]
    fn the_camera_gets_path_and_query_and_ffmpeg_the_password_but_neither_gets_the_options() {
        let target =
            parse("rtsp://me:s%40cr'et@cam:8554/live?channel=1&subtype=0#fps=5&size=640x360").unwrap();
        assert_eq!(target.address, "rtsp://me:s%40cr%27et@cam:8554/live?channel=1&subtype=0");
        assert_eq!(target.shown, "rtsp://me:***@cam:8554/live?channel=1&subtype=0#fps=5&size=640x360");
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
    fn what_cannot_be_asked_for_is_refused_without_showing_the_password() {
        for (bad, told) in [
            ("rtsp://", "names no host"),
            ("rtsp:/me:s3cret@cam/1", "needs two slashes"),
            ("rtsp://me:s3cret@cam/a b", "a space in it"),
            ("rtsp://me:s3cret/x@cam/1", "has an `@` behind its host"),
            ("rtsp://me:s3cret@cam:x/1", "cannot be read"),
            ("rtsp://me:s3cret@cam/1#fps=0", "frames per second from"),
            ("rtsp://me:s3cret@cam/1#size=1x1", "each side from 16 to 8192"),
            ("rtsp://me:s3cret@cam/1#transport=udp", "known are fps, size, timeout"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!error.is_transient());
            let error = error.to_string();
            assert!(error.contains(told) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_password_with_a_plain_hash_in_it_is_not_shown_either() {
        for bad in ["rtsp://me:wide#s3cret@cam/1", "rtsp://me:12#s3cret@cam/1", "rtsp://me:#s3cret&x@cam"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("write it %23") && !error.contains("s3cret"), "{error}");
        }
    }
}
