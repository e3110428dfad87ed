//! Everything that can go wrong between a URL and a frame.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::masking;
use crate::suggest::nearest;

/// Why a source could not be opened or read. Messages name the device and what to do, and viewers see them. So a
/// message shows a source only as its `Display` does, and never repeats a program's output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No driver has this scheme.
    #[error("no driver for `{scheme}:`; known drivers: {}{}", known.iter().map(|s| format!("{s}:")).collect::<Vec<_>>().join(", "), hint.as_ref().map(|h| format!(". {h}")).unwrap_or_default())]
    UnknownScheme {
        /// The requested scheme.
        scheme: String,
        /// The schemes in the table.
        known: Vec<&'static str>,
        /// What to use instead, if known.
        hint: Option<String>,
    },
    /// The URL is malformed.
    #[error("`{url}` {problem}")]
    BadUrl {
        /// The source, as its `Display` shows it.
        url: String,
        /// What is wrong and an example of a correct URL, as the text that follows the URL in a sentence.
        problem: String,
    },
    /// An option that the driver does not have.
    #[error("{scheme}: unknown option `{option}`; known options: {}{}", known.join(", "), nearest(option, known).map(|meant| format!(". Did you mean `{meant}`?")).unwrap_or_default())]
    UnknownOption {
        /// The scheme of the driver.
        scheme: String,
        /// The option as written, or `***` where it may be a part of a secret.
        option: String,
        /// The options that the driver has.
        known: Vec<&'static str>,
    },
    /// An option with a value that the driver cannot use.
    #[error("{scheme}: option `{option}`: {problem}")]
    BadOption {
        /// The scheme of the driver.
        scheme: String,
        /// The option's name.
        option: &'static str,
        /// What the value must be.
        problem: String,
    },
    /// One picture was broken; the source goes on.
    #[error("picture {number}: {source}")]
    Picture {
        /// The number of this picture, counted from the opening of the source.
        number: u64,
        /// What is wrong with it and where.
        source: framecast_media::Error,
    },
    /// The byte stream cannot be parsed any further.
    #[error("{0}")]
    Stream(#[from] framecast_media::Error),
    /// A file or device failed.
    #[error("cannot {doing} {}: {source}", masking::file(path))]
    File {
        /// What was tried: "read", "watch".
        doing: &'static str,
        /// The file, folder or device.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is nothing to show.
    #[error("{what}: {problem}")]
    Unusable {
        /// The place where the driver looked for pictures.
        what: String,
        /// What the driver found instead, and what to do.
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
        /// What it is for and how to get it.
        advice: &'static str,
    },
    /// A program ended.
    #[error("`{program}` ended: {status}{}{}", advice(status), if *has_stderr { "; its error output is in the log" } else { "" })]
    Exited {
        /// The program's name as given.
        program: String,
        /// Its exit status or the signal that ended it.
        status: ExitStatus,
        /// Whether it wrote to standard error; that text is in the log.
        has_stderr: bool,
    },
    /// Reading from a pipe failed.
    #[error("cannot read {what}: {source}")]
    Pipe {
        /// Which pipe.
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
    /// A server answered without a picture: it ended the connection or the stream before the first one, or it sent
    /// nothing, or text instead.
    #[error("{url}: {problem}")]
    EndedEarly {
        /// The source, as its `Display` shows it.
        url: String,
        /// What the server did, as a sentence.
        problem: String,
    },
    /// A server answered with something other than pictures.
    #[error("{url}: the server answered {answer}; {advice}")]
    UnexpectedAnswer {
        /// The source, as its `Display` shows it.
        url: String,
        /// The status, or the content type of the answer.
        answer: String,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing came for too long.
    #[error("{what}: no data for {after:?} while waiting for {awaited}")]
    TimedOut {
        /// The device or source, as its `Display` shows it.
        what: String,
        /// What was awaited: "the connection", "the first picture".
        awaited: &'static str,
        /// How long the driver waited.
        after: Duration,
    },
    /// A device cannot be used.
    #[error("{device}: {problem}")]
    Device {
        /// The device: its path.
        device: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No device matches the URL.
    #[error("{device} {problem}")]
    NoDevice {
        /// The device that the driver looked for, named for display.
        device: String,
        /// Why it does not match, as the text that follows the device in a sentence, and which devices there are.
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
        /// The device: its path.
        device: String,
        /// The program, if known.
        by: Option<String>,
    },
    /// A device lacks a capability that the URL strictly requires.
    #[error("{device} has no {wanted}; {has}")]
    Unsupported {
        /// The device: its path.
        device: String,
        /// The required capability: "size 800x600 in mjpeg".
        wanted: String,
        /// What it offers, as a sentence: "it has 640x480, 1280x720".
        has: String,
    },
    /// A device has no such control.
    #[error("no control `{control}`; {}", if known.is_empty() { "this camera has none".to_owned() } else { format!("known controls: {}", known.join(", ")) })]
    NoSuchControl {
        /// The requested control.
        control: String,
        /// The controls that the device has.
        known: Vec<String>,
    },
    /// A control does not accept this value.
    #[error("{control} {problem}")]
    BadControl {
        /// The control.
        control: String,
        /// What is wrong, with the allowed range, as the text that follows the control's name in a sentence.
        problem: String,
    },
    /// A driver's thread panicked.
    #[error("the driver panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A driver from outside this crate failed.
    #[error("{0}")]
    Custom(Box<dyn std::error::Error + Send + Sync>),
}

/// Advice for a program that exits with success but gave no picture; after a picture, that exit would be the normal end
/// of the source.
fn advice(status: &ExitStatus) -> &'static str {
    if status.success() {
        ", without a picture; it must stay in the foreground and write JPEG images on its standard output"
    } else {
        ""
    }
}

/// Whether `status` means that the server is busy and may answer otherwise in a moment.
pub(crate) fn is_busy_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..600)
}

impl Error {
    /// Whether only one picture was broken, so that the source can be read on.
    pub fn is_picture_error(&self) -> bool {
        matches!(self, Self::Picture { .. })
    }

    /// Whether a camera that delivered pictures so far may recover in a moment: it ended a stream early, was busy (a
    /// status of 408, 429 or 5xx), or slow. False if it refuses or cannot be reached.
    pub fn may_recover_soon(&self) -> bool {
        match self {
            Self::EndedEarly { .. } | Self::TimedOut { .. } => true,
            Self::UnexpectedAnswer { answer, .. } => {
                let status = answer.split(' ').next().and_then(|status| status.parse::<u16>().ok());
                status.is_some_and(is_busy_status)
            }
            _ => false,
        }
    }

    /// Whether a connection failed; it may have broken unnoticed while idle.
    pub fn is_connection_failure(&self) -> bool {
        matches!(
            self,
            Self::Connection { .. } | Self::EndedEarly { .. } | Self::TimedOut { .. } | Self::Stream(_)
        )
    }

    /// Whether a retry can help: false if only a change of the configuration can fix it.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::UnknownScheme { .. }
                | Self::BadUrl { .. }
                | Self::UnknownOption { .. }
                | Self::BadOption { .. }
                | Self::Unsupported { .. }
                | Self::NoSuchControl { .. }
                | Self::BadControl { .. }
        )
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
        assert!(Error::EndedEarly { url: url.clone(), problem: problem.clone() }.may_recover_soon());
        for busy in ["503 Service Unavailable", "599", "408 Request Timeout", "429 Too Many Requests"] {
            assert!(answered(busy).may_recover_soon(), "{busy}");
        }
        for refused in ["401 Unauthorized", "404 Not Found", "text/html", "", "5", "600 Odd"] {
            assert!(!answered(refused).may_recover_soon(), "{refused}");
        }
        let refused = Error::Connection { url, problem };
        assert!(!refused.may_recover_soon() && refused.is_connection_failure());
        assert!(!answered("503 Service Unavailable").is_connection_failure());
    }
}
