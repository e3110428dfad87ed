//! Combines an error's message with the messages of its causes.

use std::error::Error;
use std::io;

use framecast_media::escape_hidden;
use rustix::io::Errno;

/// Returns the messages of an error and of its causes as one line, in which each hidden character (see
/// [`is_hidden`](framecast_media::is_hidden)) is escaped. If the cause is a lack of file descriptors, the line also
/// tells the user what to do.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut remedy = remedy_in(error);
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        // Most messages already contain the message of their cause.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        remedy = remedy.or_else(|| remedy_in(source));
        cause = source.source();
    }
    let mut line = escape_hidden(&line.replace(['\r', '\n'], " ")).into_owned();
    if let Some(remedy) = remedy {
        line.push_str("; ");
        line.push_str(remedy);
    }
    line
}

/// Returns what the user can do if `error` says that the process, or the system, has no file descriptor left. Returns
/// `None` for any other error.
pub(crate) fn remedy(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => {
            Some("raise the limit on file descriptors with ulimit -n, or with LimitNOFILE= in a service")
        }
        Errno::NFILE => {
            Some("raise the sysctl fs.file-max, or stop the programs that hold the most file descriptors")
        }
        _ => None,
    }
}

/// Returns what the user can do about `error`, one error of a chain of causes; see [`remedy`]. `source()` skips the
/// error that an [`io::Error`] wraps, so this function also checks the wrapped error.
fn remedy_in(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let error = error.downcast_ref::<io::Error>()?;
    remedy(error).or_else(|| remedy_in(error.get_ref()?))
}

#[cfg(test)]
mod tests {
    use std::io;

    use framecast_drivers::Error;

    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_told_with_its_cure() {
        let lacking = io::Error::from(rustix::io::Errno::MFILE);
        let error = Error::CannotRun { program: "ffmpeg".to_owned(), source: lacking };
        let line = one_line(&error);
        assert!(line.starts_with("cannot run `ffmpeg`: Too many open files (os error 24); raise "), "{line}");
        assert!(line.contains("ulimit -n") && line.contains("LimitNOFILE="), "{line}");
        let within = io::Error::other(io::Error::from(rustix::io::Errno::MFILE));
        assert!(one_line(&within).contains("ulimit -n"), "{}", one_line(&within));
    }

    #[test]
    fn where_the_system_has_no_descriptor_left_the_cure_is_another_one() {
        let line = one_line(&io::Error::from(rustix::io::Errno::NFILE));
        assert!(line.contains("fs.file-max") && !line.contains("ulimit"), "{line}");
    }

    #[test]
    fn what_a_camera_says_of_descriptors_is_no_lack_of_ours() {
        let line = one_line(&io::Error::other("the camera said: Too many open files"));
        assert_eq!(line, "the camera said: Too many open files");
    }

    #[test]
    fn what_a_camera_says_of_itself_neither_reorders_nor_breaks_the_line() {
        let line = one_line(&io::Error::other("401 \u{202e}gpj\u{2028}\u{1b}[2J\r\nnext"));
        assert_eq!(line, "401 \\u{202e}gpj\\u{2028}\\u{1b}[2J  next");
    }
}
