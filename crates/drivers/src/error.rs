//! Everything that can go wrong between a URL and a frame.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::masking;
use crate::suggest::nearest;
use crate::unit;

/// The reason why a source could not be opened or read. Messages name the device and what to do, and viewers see them.
/// Therefore, a message shows a source only as its `Display` does, without secrets, and never repeats a program's
/// output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No driver has the URL's scheme.
    #[error("no driver for `{scheme}:`; known drivers: {}{}", known.iter().map(|s| format!("{s}:")).collect::<Vec<_>>().join(", "), hint.as_ref().map(|h| format!(". {h}")).unwrap_or_default())]
    UnknownScheme {
        /// The requested scheme.
        scheme: String,
        /// The schemes that have a driver.
        known: Vec<&'static str>,
        /// What to use instead, if known.
        hint: Option<String>,
    },
    /// The URL is malformed.
    #[error("`{url}` {problem}")]
    BadUrl {
        /// The source, as its `Display` shows it.
        url: String,
        /// What is wrong and an example of a correct URL, as the end of a sentence that begins with the URL.
        problem: String,
    },
    /// The URL has an option that the driver does not have.
    #[error("{scheme}: unknown option `{option}`; known options: {}{}", known.join(", "), nearest(option, known).map(|meant| format!(". Did you mean `{meant}`?")).unwrap_or_default())]
    UnknownOption {
        /// The scheme of the driver.
        scheme: String,
        /// The option as written, or `***` if it may be part of a secret.
        option: String,
        /// The options that the driver has.
        known: Vec<&'static str>,
    },
    /// The URL has an option with a value that the driver cannot use.
    #[error("{scheme}: option `{option}`: {problem}")]
    BadOption {
        /// The scheme of the driver.
        scheme: String,
        /// The option's name.
        option: &'static str,
        /// What is wrong with the value, or what the value must be, as the text that ends the message.
        problem: String,
    },
    /// One picture was broken; the source can still be read.
    #[error("picture {number}: {source}")]
    Picture {
        /// The number of the broken picture, counted from the opening of the source.
        number: u64,
        /// What is wrong with the picture and where.
        source: framecast_media::Error,
    },
    /// The byte stream cannot be parsed any further.
    #[error("{0}")]
    Stream(#[from] framecast_media::Error),
    /// An operation on a file or device failed.
    #[error("cannot {doing} {}: {source}{}", masking::file(path), if source.kind() == io::ErrorKind::PermissionDenied { unit::hint(path) } else { String::new() })]
    File {
        /// The operation that failed, as a verb: "read", "watch".
        doing: &'static str,
        /// The file, folder or device.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The place that the source names has no pictures that could be shown.
    #[error("{what}: {problem}")]
    Unusable {
        /// The place where the driver looked for pictures.
        what: String,
        /// What the driver found instead of pictures, and what to do.
        problem: String,
    },
    /// A program could not be started.
    #[error("cannot run `{program}`: {source}{}", if source.kind() == io::ErrorKind::NotFound { "; install it, or give its full path" } else { "" })]
    CannotRun {
        /// The program's name as given.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// A program that a driver needs is not installed.
    #[error("`{program}` is not installed; {advice}")]
    NotInstalled {
        /// The program's name.
        program: String,
        /// What the program is for and how to get it.
        advice: &'static str,
    },
    /// A program ended, although the driver still needed pictures from it.
    #[error("`{program}` ended: {status}{}{}{}", advice(status), if *has_stderr { "; its error output is in the log" } else { "" }, hint.as_deref().unwrap_or_default())]
    Exited {
        /// The program's name as given.
        program: String,
        /// The program's exit status or the signal that ended it.
        status: ExitStatus,
        /// Whether the program wrote to standard error. The log then contains that text.
        has_stderr: bool,
        /// Why the program may have failed, as the end of the message: a file that it was given is hidden from it.
        hint: Option<String>,
    },
    /// Reading from a pipe failed.
    #[error("cannot read {what}: {source}")]
    Pipe {
        /// The name of the pipe, for the message.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// A server could not be reached, or it does not speak the expected protocol.
    #[error("{url}: {problem}")]
    Connection {
        /// The source, as its `Display` shows it.
        url: String,
        /// What failed and why: the whole error chain in one line.
        problem: String,
    },
    /// A server responded without a picture: it ended the connection or the stream before the first picture, sent
    /// nothing at all, or sent text instead.
    #[error("{url}: {problem}")]
    EndedEarly {
        /// The source, as its `Display` shows it.
        url: String,
        /// What the server did instead of sending a picture, as a sentence.
        problem: String,
    },
    /// A server responded with something other than pictures.
    #[error("{url}: the server answered {answer}; {advice}")]
    UnexpectedAnswer {
        /// The source, as its `Display` shows it.
        url: String,
        /// What the server sent: the HTTP status, or the content type.
        answer: String,
        /// What the user can do about this response.
        advice: &'static str,
    },
    /// No data arrived within the time limit.
    #[error("{what}: no data for {after:?} while waiting for {awaited}")]
    TimedOut {
        /// The device or source, as its `Display` shows it.
        what: String,
        /// What the driver was waiting for: "the connection", "the first picture".
        awaited: &'static str,
        /// How long the driver waited.
        after: Duration,
    },
    /// A device cannot be used.
    #[error("{device}: {problem}")]
    Device {
        /// The device's path.
        device: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No device matches the URL.
    #[error("{device} {problem}")]
    NoDevice {
        /// The device that the driver looked for, named for display.
        device: String,
        /// Why no device matches and which devices there are, as the end of a sentence that begins with the device's
        /// name.
        problem: String,
    },
    /// A device was unplugged.
    #[error("{device} was unplugged")]
    Unplugged {
        /// The device, named for display.
        device: String,
    },
    /// Another program uses the device.
    #[error("{device} is in use by {}", by.as_deref().unwrap_or("another program that this account cannot see"))]
    InUse {
        /// The device's path.
        device: String,
        /// The program that uses the device, if known.
        by: Option<String>,
    },
    /// A device lacks a capability that the URL requests, and the URL's option `strict` forbids Framecast to use a
    /// different one instead.
    #[error("{device} has no {wanted}; {has}")]
    Unsupported {
        /// The device's path.
        device: String,
        /// The required capability: "size 800x600 in mjpeg".
        wanted: String,
        /// What the device offers instead, as a sentence: "it has 640x480, 1280x720".
        has: String,
    },
    /// The device has no control of this name.
    #[error("unknown control `{control}`; {}", if known.is_empty() { "this camera has no controls".to_owned() } else { format!("known controls: {}", known.join(", ")) })]
    NoSuchControl {
        /// The requested control's name.
        control: String,
        /// The names of the controls that the device has.
        known: Vec<String>,
    },
    /// A control does not accept this value.
    #[error("{control} {problem}")]
    BadControl {
        /// The control's name.
        control: String,
        /// What is wrong and the allowed range, as the end of a sentence that begins with the control's name.
        problem: String,
    },
    /// A driver's thread panicked.
    #[error("the driver panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A driver from outside this crate failed. [`Error::frame`], [`Error::transient`] and [`Error::fatal`] make this
    /// error.
    #[error("{source}")]
    Custom {
        /// What the error means for the source.
        kind: ErrorKind,
        /// The driver's own error. Viewers see its message.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What an [`Error`] means for its source: whether the source still works, and whether opening it again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// One picture is broken. The source still works: the next call of [`next_frame`](crate::Source::next_frame) may
    /// return a whole picture.
    Frame,
    /// The source no longer works, or did not open. Opening it again may help.
    Transient(Failure),
    /// The source cannot be opened before somebody changes its configuration.
    Fatal,
}

/// What failed, in an error that passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The camera answered that it is busy. It probably has a picture within moments.
    Busy,
    /// The camera answered and then ended the stream early, or was too slow. A new connection probably has a picture
    /// within moments.
    Interrupted,
    /// The connection failed, or its bytes make no sense. A connection can break unnoticed while it is idle or while
    /// the machine sleeps, so a new connection may work.
    Connection,
    /// Anything else.
    Other,
}

/// Returns the advice that ends the message of [`Error::Exited`]: for a program that exited with success, although it
/// had delivered no picture. Returns an empty text if `status` is a failure. (Success after a picture is the normal end
/// of a source, not an error.)
fn advice(status: &ExitStatus) -> &'static str {
    if status.success() {
        ", without a picture; it must stay in the foreground and write JPEG images, H.264, H.265 or fragmented MP4 on \
         its standard output"
    } else {
        ""
    }
}

/// Returns whether the HTTP status `status` means that the server is only busy, so that the same request might succeed
/// a moment later.
pub(crate) fn is_busy_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..600)
}

/// Returns whether `answer`, what a server sent, begins with an HTTP status that says that the server is busy.
fn answered_busy(answer: &str) -> bool {
    let status = answer.split(' ').next().and_then(|status| status.parse::<u16>().ok());
    status.is_some_and(is_busy_status)
}

impl Error {
    /// Creates the error of a custom driver about one broken picture. The source still works.
    pub fn frame(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom { kind: ErrorKind::Frame, source: source.into() }
    }

    /// Creates the error of a custom driver whose source no longer works or did not open, and may open later.
    pub fn transient(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom { kind: ErrorKind::Transient(Failure::Other), source: source.into() }
    }

    /// Creates the error of a custom driver whose source cannot be opened before somebody changes its configuration.
    pub fn fatal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom { kind: ErrorKind::Fatal, source: source.into() }
    }

    /// Returns `error` itself if it is an [`Error`] of this crate, and so says its kind; otherwise a transient error.
    pub(crate) fn from_custom(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        error.downcast::<Self>().map_or_else(Self::transient, |error| *error)
    }

    /// Returns what this error means for its source.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Picture { .. } => ErrorKind::Frame,
            Self::EndedEarly { .. } | Self::TimedOut { .. } => ErrorKind::Transient(Failure::Interrupted),
            Self::Connection { .. } | Self::Stream(_) => ErrorKind::Transient(Failure::Connection),
            Self::UnexpectedAnswer { answer, .. } if answered_busy(answer) => {
                ErrorKind::Transient(Failure::Busy)
            }
            Self::UnexpectedAnswer { .. }
            | Self::File { .. }
            | Self::Unusable { .. }
            | Self::CannotRun { .. }
            | Self::NotInstalled { .. }
            | Self::Exited { .. }
            | Self::Pipe { .. }
            | Self::Device { .. }
            | Self::NoDevice { .. }
            | Self::Unplugged { .. }
            | Self::InUse { .. }
            | Self::Panicked { .. } => ErrorKind::Transient(Failure::Other),
            Self::UnknownScheme { .. }
            | Self::BadUrl { .. }
            | Self::UnknownOption { .. }
            | Self::BadOption { .. }
            | Self::Unsupported { .. }
            | Self::NoSuchControl { .. }
            | Self::BadControl { .. } => ErrorKind::Fatal,
            Self::Custom { kind, .. } => *kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_camera_may_have_pictures_in_a_moment_and_one_that_refuses_has_none() {
        let answered = |answer: &str| Error::UnexpectedAnswer {
            url: "http://cam".into(),
            answer: answer.into(),
            advice: "wait",
        };
        let (url, problem) = (String::from("http://cam"), String::from("it is over"));
        let early = Error::EndedEarly { url: url.clone(), problem: problem.clone() };
        assert_eq!(early.kind(), ErrorKind::Transient(Failure::Interrupted));
        for busy in ["503 Service Unavailable", "599", "408 Request Timeout", "429 Too Many Requests"] {
            assert_eq!(answered(busy).kind(), ErrorKind::Transient(Failure::Busy), "{busy}");
        }
        for refused in ["401 Unauthorized", "404 Not Found", "text/html", "", "5", "600 Odd"] {
            assert_eq!(answered(refused).kind(), ErrorKind::Transient(Failure::Other), "{refused}");
        }
        let refused = Error::Connection { url, problem };
        assert_eq!(refused.kind(), ErrorKind::Transient(Failure::Connection));
    }

    #[test]
    fn a_custom_driver_says_what_its_error_means_in_its_own_words() {
        for (error, kind) in [
            (Error::frame("smeared"), ErrorKind::Frame),
            (Error::transient("smeared"), ErrorKind::Transient(Failure::Other)),
            (Error::fatal("smeared"), ErrorKind::Fatal),
        ] {
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, "smeared"));
            assert_eq!(Error::from_custom(error.into()).kind(), kind);
        }
        assert_eq!(Error::from_custom("smeared".into()).kind(), ErrorKind::Transient(Failure::Other));
    }
}
