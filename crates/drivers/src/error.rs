//! Everything that can go wrong between a URL and a frame.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::meant::nearest;
use crate::shown;

/// Why a source could not be opened or read. Texts name the device and what to do, and are shown to viewers: of a source
/// they hold what its `Display` tells, and of what a program said nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No driver has this scheme.
    #[error("no driver for `{scheme}:`; known are {}{}", known.iter().map(|s| format!("{s}:")).collect::<Vec<_>>().join(", "), hint.as_ref().map(|h| format!(". {h}")).unwrap_or_default())]
    UnknownScheme {
        /// The scheme that was asked for.
        scheme: String,
        /// The schemes in the table.
        known: Vec<&'static str>,
        /// What to use in its place, where that is known.
        hint: Option<String>,
    },
    /// The URL cannot be read.
    #[error("`{url}` {problem}")]
    BadUrl {
        /// The source, as its `Display` tells it.
        url: String,
        /// What is wrong, as what follows the URL in a sentence, and an example of what is right.
        problem: String,
    },
    /// An option that the driver does not have.
    #[error("{scheme}: unknown option `{option}`; known are {}{}", known.join(", "), nearest(option, known).map(|meant| format!(". Did you mean `{meant}`?")).unwrap_or_default())]
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
        /// How many pictures this source had offered before and with this one.
        number: u64,
        /// What is wrong with it and where.
        source: framecast_media::Error,
    },
    /// The stream of bytes cannot be read on.
    #[error("{0}")]
    Stream(#[from] framecast_media::Error),
    /// A file or device failed.
    #[error("cannot {doing} {}: {source}", shown::file(path))]
    File {
        /// What was tried: "read", "watch".
        doing: &'static str,
        /// The file, folder or device.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to show.
    #[error("{what}: {problem}")]
    Nothing {
        /// Where pictures were looked for.
        what: String,
        /// What was found instead and what to do.
        problem: String,
    },
    /// A program could not be started.
    #[error("cannot run `{program}`: {source}{}", if source.kind() == io::ErrorKind::NotFound { "; install it, or give its full path" } else { "" })]
    CannotRun {
        /// The program's name as given.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that a driver needs is not there.
    #[error("`{program}` is not installed; {advice}")]
    NotInstalled {
        /// The program's name.
        program: String,
        /// What it is for and how to get it.
        advice: &'static str,
    },
    /// A program ended.
    #[error("`{program}` ended: {status}{}{}", advice(status), if *has_last_words { "; its last words are in the log" } else { "" })]
    Exited {
        /// The program's name as given.
        program: String,
        /// Its exit status or the signal that ended it.
        status: ExitStatus,
        /// Whether it wrote anything on standard error, which the log has.
        has_last_words: bool,
    },
    /// The bytes of a pipe failed.
    #[error("cannot read {what}: {source}")]
    Pipe {
        /// Which pipe.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A server could not be reached, or what it speaks is not understood.
    #[error("{url}: {problem}")]
    Connection {
        /// The source, as its `Display` tells it.
        url: String,
        /// What failed and why, the whole chain in one line.
        problem: String,
    },
    /// A server was there and gave no picture: it ended the connection or the stream before one, or sent nothing, or a word,
    /// in its place.
    #[error("{url}: {problem}")]
    EndedEarly {
        /// The source, as its `Display` tells it.
        url: String,
        /// What it did, as a sentence.
        problem: String,
    },
    /// A server answered with something other than pictures.
    #[error("{url}: answered {answer}; {advice}")]
    Answer {
        /// The source, as its `Display` tells it.
        url: String,
        /// The status, or the type of what came.
        answer: String,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing came for too long.
    #[error("{what}: nothing for {after:?} while waiting for {awaited}")]
    TimedOut {
        /// The device or source, as its `Display` tells it.
        what: String,
        /// What should have come: "the connection", "the first picture".
        awaited: &'static str,
        /// How long was waited.
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
    /// No device is what a URL names.
    #[error("{device} {problem}")]
    NoDevice {
        /// What was looked for, as people call it.
        device: String,
        /// Why it is not that, as what follows the device in a sentence, and what there is.
        problem: String,
    },
    /// A device is gone.
    #[error("{device} was unplugged")]
    Unplugged {
        /// The device, as people call it.
        device: String,
    },
    /// A device is used by another program.
    #[error("{device} is in use by {}", by.as_deref().unwrap_or("another program, which this account may not see"))]
    InUse {
        /// The device: its path.
        device: String,
        /// The program, where it is known.
        by: Option<String>,
    },
    /// A device has not what was strictly asked for.
    #[error("{device} has no {wanted}; {has}")]
    Lacking {
        /// The device: its path.
        device: String,
        /// What was asked for: "size 800x600 in mjpeg".
        wanted: String,
        /// What it has, as a sentence: "it has 640x480, 1280x720".
        has: String,
    },
    /// A device has no such control.
    #[error("no control `{control}`; {}", if known.is_empty() { "this camera has none".to_owned() } else { format!("known are {}", known.join(", ")) })]
    NoSuchControl {
        /// The control that was asked for.
        control: String,
        /// The controls that the device has.
        known: Vec<String>,
    },
    /// A control cannot take this value.
    #[error("{control} {problem}")]
    BadControl {
        /// The control.
        control: String,
        /// What is wrong, as what follows the control's name in a sentence, with its range.
        problem: String,
    },
    /// A driver's thread panicked.
    #[error("the driver panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A driver of one's own failed.
    #[error("{0}")]
    Custom(Box<dyn std::error::Error + Send + Sync>),
}

/// What to do about a program that says that all went well: with pictures it would have been the end of the source.
fn advice(status: &ExitStatus) -> &'static str {
    if status.success() {
        ", without a picture; it must stay in the foreground and write JPEG images on its standard output"
    } else {
        ""
    }
}

/// Whether a server answers with `status` when it is busy, and may answer otherwise in a moment.
pub(crate) fn is_of_the_busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..600)
}

impl Error {
    /// Whether one picture alone was broken and the source can be read on.
    pub fn is_picture(&self) -> bool {
        matches!(self, Self::Picture { .. })
    }

    /// Whether a camera that gave pictures until now may give some again in a moment: it ended a stream early, was busy
    /// (a status of 408, 429 or 5xx), or slow. False for one that refuses or cannot be reached.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::EndedEarly { .. } | Self::TimedOut { .. } => true,
            Self::Answer { answer, .. } => {
                let status = answer.split(' ').next().and_then(|status| status.parse::<u16>().ok());
                status.is_some_and(is_of_the_busy)
            }
            _ => false,
        }
    }

    /// Whether a connection failed, so that its death while nobody looked may be to blame.
    pub fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::Connection { .. } | Self::EndedEarly { .. } | Self::TimedOut { .. } | Self::Stream(_)
        )
    }

    /// Whether trying again can help: false for what only a change of the configuration mends.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::UnknownScheme { .. }
                | Self::BadUrl { .. }
                | Self::UnknownOption { .. }
                | Self::BadOption { .. }
                | Self::Lacking { .. }
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
        let answered =
            |answer: &str| Error::Answer { url: "http://cam".into(), answer: answer.into(), advice: "wait" };
        let (url, problem) = (String::from("http://cam"), String::from("it is over"));
        assert!(Error::EndedEarly { url: url.clone(), problem: problem.clone() }.may_pass());
        for busy in ["503 Service Unavailable", "599", "408 Request Timeout", "429 Too Many Requests"] {
            assert!(answered(busy).may_pass(), "{busy}");
        }
        for refused in ["401 Unauthorized", "404 Not Found", "text/html", "", "5", "600 Odd"] {
            assert!(!answered(refused).may_pass(), "{refused}");
        }
        let refused = Error::Connection { url, problem };
        assert!(!refused.may_pass() && refused.is_of_connection());
        assert!(!answered("503 Service Unavailable").is_of_connection());
    }
}
