//! Why something failed, in the words of what knows it.

use std::error::Error;

use framecast_media::visible;

/// What the C library says where a process has no descriptor left, and where the system has none.
const NO_DESCRIPTOR: &str = "Too many open files";

/// An error with all that caused it, as one line in which every character is seen. Where descriptors lack, with the cure.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        // Most messages contain their cause's already.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = source.source();
    }
    let mut line = visible(&line.replace(['\r', '\n'], " ")).into_owned();
    if line.contains(NO_DESCRIPTOR) {
        line.push_str("; raise the number of file descriptors by ulimit -n, or LimitNOFILE= of a service");
    }
    line
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
    }

    #[test]
    fn what_a_camera_says_of_itself_neither_reorders_nor_breaks_the_line() {
        let line = one_line(&io::Error::other("401 \u{202e}gpj\u{2028}\u{1b}[2J\r\nnext"));
        assert_eq!(line, "401 \\u{202e}gpj\\u{2028}\\u{1b}[2J  next");
    }
}
