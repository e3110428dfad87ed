//! What ffmpeg's last lines mean: errors in words of our own, with what to do.
//!
//! Lines in, an error out. The lines are those of ffmpeg 5.1 to 7 at its level `error`; one that is not known is shown as
//! it is.

use std::io;
use std::time::Duration;

use super::target::Target;
use crate::Error;
use crate::program::{Answer, Launch};

/// The error for ffmpeg or ffprobe, where it could not be started.
pub(super) fn cannot_run(launch: &Launch, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        let advice = "RTSP cameras are read through ffmpeg (5.1 or newer): `apt install ffmpeg`, or for your system \
                      from ffmpeg.org";
        return launch.not_installed(advice);
    }
    launch.cannot_run(source)
}

/// The error for an ffprobe that named no codec after `elapsed`.
pub(super) fn of_probe(target: &Target, answer: &Answer, elapsed: Duration) -> Error {
    if answer.output.contains("codec_type=") {
        return no_pictures(target);
    }
    of_start(target, &answer.last_lines, elapsed)
}

/// The error for an ffmpeg that ended after `elapsed` and yielded no picture.
pub(super) fn of_start(target: &Target, lines: &[String], elapsed: Duration) -> Error {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if let Some((code, answer)) = refusal(lines) {
        return of_status(target, code, answer);
    }
    if has("Failed to resolve hostname") {
        return target.failed("no such host; check the name, or write the camera's address in numbers");
    }
    if has("Connection refused") {
        return target.failed(
            "the connection was refused; RTSP may be switched off in the camera, or be on another port (554 is usual)",
        );
    }
    if has("No route to host") || has("Network is unreachable") {
        return target
            .failed("the camera cannot be reached; check its address, and whether it is switched on");
    }
    if has("timed out") || elapsed >= target.timeout {
        return target.timed_out();
    }
    if has("matches no streams") || has("does not contain any stream") {
        return no_pictures(target);
    }
    if has("Unrecognized option")
        || has("Unknown keyword")
        || has("unknown keyword")
        || has("Option not found")
    {
        let problem = "is too old; Framecast needs 5.1 or newer".to_owned();
        return Error::Nothing { what: "`ffmpeg`".to_owned(), problem };
    }
    if has("tls @") {
        return target
            .failed("no TLS connection; the camera may speak plain RTSP: rtsp:// in place of rtsps://");
    }
    if has("Invalid data found") {
        return target
            .failed("no RTSP server answers there; check the port: 554 is usual, and 322 for rtsps://");
    }
    ended(target, lines, "without a picture")
}

/// The error for an ffmpeg that ended after it had yielded pictures.
pub(super) fn of_end(target: &Target, lines: &[String]) -> Error {
    if lines.iter().any(|line| line.contains("timed out")) {
        return Error::TimedOut {
            what: target.shown.clone(),
            awaited: "the next picture",
            after: target.timeout,
        };
    }
    target.failed("the camera has ended the stream")
}

/// Status and reason in the line of the request that the camera refused, as in `method DESCRIBE failed: 404 Not Found`.
fn refusal(lines: &[String]) -> Option<(u16, &str)> {
    lines.iter().find_map(|line| {
        let (_, answer) = line.split_once("method ")?.1.split_once(" failed: ")?;
        let code = answer.split_whitespace().next()?.parse().ok()?;
        Some((code, answer.trim()))
    })
}

/// What a refusal by the camera means (RFC 2326 §7.1.1).
fn of_status(target: &Target, code: u16, answer: &str) -> Error {
    let advice = match code {
        401 if !target.has_login => "the camera asks for a user and a password: rtsp://user:password@host/…",
        401 => "user or password is wrong; in a password write `@` as %40, `%` as %25",
        403 => "the camera refuses this user or this address; look at its settings",
        400 | 404 => "check the path: the camera's manual names it, often as `RTSP URL` or `main stream`",
        // What is left after a request for pictures alone, where there is sound alone.
        454 | 455 => return no_pictures(target),
        453 | 503 => "the camera has no room for another viewer; close one",
        461 => "the camera does not send over TCP; look at its settings",
        500..600 => "the camera is there but has no pictures now",
        _ => "look at the camera's settings",
    };
    target.answered(answer, advice)
}

fn no_pictures(target: &Target) -> Error {
    Error::Nothing {
        what: target.shown.clone(),
        problem: "there is no stream of pictures, only sound or nothing; check the path".to_owned(),
    }
}

fn ended(target: &Target, lines: &[String], how: &str) -> Error {
    let last_words = lines.last().map(|line| format!("; its last words: {line}")).unwrap_or_default();
    target.failed(format!("ffmpeg ended {how}{last_words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceUrl;

    fn told(url: &str, lines: &str, elapsed: Duration) -> String {
        let target = Target::parse(&SourceUrl::parse(url).unwrap()).unwrap();
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        let error = of_start(&target, &lines, elapsed);
        assert!(error.is_transient());
        error.to_string()
    }

    /// As ffmpeg 5.1 writes them.
    #[test]
    fn what_ffmpeg_says_is_said_in_our_words() {
        let url = "rtsp://me:s3cret@cam/1";
        for (lines, expected) in [
            (
                "[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized\n\
                 [concat @ 0x2] Impossible to open 'rtsp://me:***@cam/1'\n\
                 pipe:0: Server returned 401 Unauthorized (authorization failed)",
                "answered 401 Unauthorized; user or password is wrong",
            ),
            ("[rtsp @ 0x1] method DESCRIBE failed: 404 Not Found", "answered 404 Not Found; check the path"),
            ("[rtsp @ 0x1] method PLAY failed: 454 Session Not Found", "there is no stream of pictures"),
            ("[rtsp @ 0x1] method SETUP failed: 453 Not Enough Bandwidth", "no room for another viewer"),
            (
                "[tcp @ 0x1] Connection to tcp://cam:554?timeout=4500000 failed: Connection refused\n\
                 pipe:0: Connection refused",
                "the connection was refused; RTSP may be switched off",
            ),
            (
                "[tcp @ 0x1] Failed to resolve hostname cam: Name or service not known\n\
                 pipe:0: Input/output error",
                "no such host",
            ),
            ("[tcp @ 0x1] Connection to tcp://cam:554 failed: No route to host", "cannot be reached"),
            ("pipe:0: Connection timed out", "nothing for 4s while waiting for the camera's answer"),
            ("Stream map '0:v:0' matches no streams.", "there is no stream of pictures"),
            ("Unrecognized option 'fps_mode'.", "`ffmpeg`: is too old"),
            ("[tls @ 0x1] An unexpected TLS packet was received.", "rtsp:// in place of rtsps://"),
            ("pipe:0: Invalid data found when processing input", "no RTSP server answers there"),
            ("something new", "ffmpeg ended without a picture; its last words: something new"),
            ("", "ffmpeg ended without a picture"),
        ] {
            let told = told(url, lines, Duration::from_millis(20));
            assert!(told.contains(expected) && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn a_camera_that_wants_a_login_is_told_from_one_that_refuses_it() {
        let line = "[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized";
        let told = told("rtsp://cam/1", line, Duration::ZERO);
        assert!(told.ends_with("asks for a user and a password: rtsp://user:password@host/…"), "{told}");
    }

    /// ffmpeg 5.1 says the same of a server that is silent as of one that speaks something else.
    #[test]
    fn a_silent_server_is_told_by_the_time_that_it_took() {
        let line = "pipe:0: Invalid data found when processing input";
        let told = told("rtsp://cam/1#timeout=2s", line, Duration::from_secs(2));
        assert!(told.ends_with("nothing for 2s while waiting for the camera's answer"), "{told}");
    }
}
