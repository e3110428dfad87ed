//! Diagnoses a failure from the last lines of ffmpeg's error output, and creates an error in Framecast's own words that
//! tells the user what to do.
//!
//! The known lines are those of ffmpeg 5.1 to 7 at its log level `error`. No error quotes them, because they may repeat
//! the camera's URL; the log contains them.

use std::io;
use std::time::Duration;

use crate::Error;
use crate::program::Launch;
use crate::rtsp::diagnose::{
    CONNECTION_REFUSED, NO_SUCH_HOST, UNREACHABLE, no_data_error, no_video_error, refusal_error,
    refuses_transport, transport_error,
};
use crate::rtsp::target::{RtspTarget, Transport};

/// A run of ffmpeg or ffprobe that ended without a result.
#[derive(Debug, Clone, Copy)]
pub(super) struct FfmpegRun<'a> {
    pub(super) target: &'a RtspTarget,
    pub(super) transport: Transport,
    /// The last lines of the program's standard error.
    pub(super) lines: &'a [String],
    pub(super) elapsed: Duration,
    /// How long the camera was allowed to be silent before the program gave up; `None` if no limit was set.
    pub(super) silence: Option<Duration>,
}

/// Creates the warning about an ffmpeg or ffprobe that cannot be started, with what works without it.
pub(super) fn missing_error(launch: &Launch, source: io::Error, target: &RtspTarget) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound if target.is_native() => launch.not_installed_error(VIDEO_ADVICE),
        _ => spawn_error(launch, source),
    }
}

/// Creates the error for an ffmpeg or ffprobe that could not be started.
pub(super) fn spawn_error(launch: &Launch, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return launch.not_installed_error(INSTALL_ADVICE);
    }
    launch.spawn_error(source)
}

/// The advice for a camera that only ffmpeg can read.
const INSTALL_ADVICE: &str = "Framecast reads this camera with ffmpeg (5.1 or newer): `apt install ffmpeg`, or get it \
                              for your system from ffmpeg.org";

/// The advice for a camera whose video may play without ffmpeg.
const VIDEO_ADVICE: &str = "if the camera sends H.264 or H.265, its video plays without ffmpeg. JPEG of that, such as \
                            snapshots, and codecs other than these and JPEG need ffmpeg (5.1 or newer): `apt install \
                            ffmpeg`, or get it for your system from ffmpeg.org";

impl FfmpegRun<'_> {
    fn has(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }

    /// Returns whether the camera responded but refused the transport that ffmpeg requested (TCP or UDP). The camera
    /// can do so with the status for an unsupported transport (RFC 2326 §11.3.14), with a status that servers send for
    /// an unknown `Transport` header, or by choosing a different transport.
    pub(super) fn is_transport_refused(&self) -> bool {
        let is_status = |refusal: RefusedRequest<'_>| refuses_transport(refusal.method, refusal.code);
        self.has_transport_mismatch() || find_refusal(self.lines).is_some_and(is_status)
    }

    fn has_transport_mismatch(&self) -> bool {
        self.has("Nonmatching transport")
    }

    /// Creates the error for an ffprobe that wrote `output`, in which there is no video codec.
    pub(super) fn probe_error(&self, output: &str) -> Error {
        if output.contains("codec_type=") { no_video_error(self.target) } else { self.start_error() }
    }

    /// Creates the error for an ffmpeg that ended without yielding a picture.
    pub(super) fn start_error(&self) -> Error {
        let target = self.target;
        if let Some(refusal) = find_refusal(self.lines) {
            return refusal_error(target, self.transport, refusal.code);
        }
        if self.has_transport_mismatch() {
            return transport_error(target, self.transport);
        }
        if let Some(problem) = self.unreachable_reason() {
            return target.connection_error(problem);
        }
        // ffmpeg's messages for slices of H.264 and H.265 without their parameter sets.
        if self.has("non-existing PPS") || self.has("PPS id out of range") {
            let problem = "the camera has sent no keyframe with its parameter sets; set a shorter keyframe interval at \
                           the camera"
                .to_owned();
            return Error::EndedEarly { url: target.shown.clone(), problem };
        }
        // ffmpeg's message when the stream ends before the first packet.
        if self.has("dimensions not set") {
            return match self.silence {
                Some(silence) if self.elapsed >= silence => no_data_error(target, self.transport, silence),
                _ => Error::EndedEarly {
                    url: target.shown.clone(),
                    problem: "the camera ended the stream before its first picture".to_owned(),
                },
            };
        }
        if self.has("timed out") || self.silence.is_some_and(|silence| self.elapsed >= silence) {
            return target.timeout_error(self.silence.unwrap_or_else(|| target.answer_timeout()));
        }
        if self.has("matches no streams") || self.has("does not contain any stream") {
            return no_video_error(target);
        }
        if self.has("Unrecognized option")
            || self.has("Unknown keyword")
            || self.has("unknown keyword")
            || self.has("Option not found")
        {
            let problem = "this version is too old; Framecast needs 5.1 or newer".to_owned();
            return Error::Unusable { what: "`ffmpeg`".to_owned(), problem };
        }
        if self.has("tls @") {
            return target.connection_error(
                "cannot set up a TLS connection; the camera may speak plain RTSP: write rtsp:// in place of \
                 rtsps://",
            );
        }
        if self.has("Invalid data found") {
            return target.connection_error(
                "no RTSP server answers at that port; check the port: 554 is usual, and 322 for rtsps://",
            );
        }
        exit_error(target, self.lines, "without a picture")
    }

    /// Returns the reason why the camera could not be reached at all; `None` if ffmpeg reports no such reason.
    fn unreachable_reason(&self) -> Option<&'static str> {
        if self.has("Failed to resolve hostname") {
            Some(NO_SUCH_HOST)
        } else if self.has("Connection refused") {
            Some(CONNECTION_REFUSED)
        } else if self.has("No route to host") || self.has("Network is unreachable") {
            Some(UNREACHABLE)
        } else {
            None
        }
    }
}

/// The texts that ffmpeg writes when a connection breaks. They are needed because ffmpeg then still exits with success.
const CONNECTION_LOST_LINES: &[&str] = &[
    "Connection reset",
    "Connection refused",
    "Software caused connection abort",
    "Broken pipe",
    "Input/output error",
    "No route to host",
    "Network is unreachable",
];

/// Creates the error for an ffmpeg that ended after it had yielded pictures. Returns `None` if `lines`, the last lines
/// of its error output, report no network problem.
pub(super) fn end_error(target: &RtspTarget, lines: &[String]) -> Option<Error> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if has("timed out") {
        return Some(Error::TimedOut {
            what: target.shown.clone(),
            awaited: "the next picture",
            after: target.answer_timeout(),
        });
    }
    CONNECTION_LOST_LINES
        .iter()
        .any(|words| has(words))
        .then(|| target.connection_error("the connection to the camera broke"))
}

/// A request that the camera refused.
struct RefusedRequest<'a> {
    method: &'a str,
    code: u16,
}

/// Finds the refused request in a line like `method DESCRIBE failed: 404 Not Found`.
fn find_refusal(lines: &[String]) -> Option<RefusedRequest<'_>> {
    lines.iter().find_map(|line| {
        let (method, answer) = line.split_once("method ")?.1.split_once(" failed: ")?;
        let code = answer.split_whitespace().next()?.parse().ok()?;
        Some(RefusedRequest { method, code })
    })
}

fn exit_error(target: &RtspTarget, lines: &[String], how: &str) -> Error {
    let error_output = if lines.is_empty() { "" } else { "; its error output is in the log at level debug" };
    target.connection_error(format!("ffmpeg ended {how}{error_output}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, SourceUrl};

    /// Whether the lines refuse the transport, and the error for them.
    fn read(url: &str, transport: Transport, lines: &str, elapsed: Duration) -> (bool, String) {
        let target = RtspTarget::parse(&SourceUrl::parse(url).unwrap()).unwrap();
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        let silence = Some(target.answer_timeout());
        let run = FfmpegRun { target: &target, transport, lines: &lines, elapsed, silence };
        let error = run.start_error();
        assert_ne!(error.kind(), ErrorKind::Fatal);
        (run.is_transport_refused(), error.to_string())
    }

    fn told(url: &str, lines: &str, elapsed: Duration) -> String {
        read(url, Transport::Tcp, lines, elapsed).1
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
            ("[rtsp @ 0x1] method PLAY failed: 454 Session Not Found", "the camera sends no video"),
            ("[rtsp @ 0x1] method SETUP failed: 453 Not Enough Bandwidth", "accepts no more viewers"),
            (
                "[tcp @ 0x1] Connection to tcp://cam:554?timeout=4500000 failed: Connection refused\n\
                 pipe:0: Connection refused",
                "connection refused; RTSP may be switched off",
            ),
            (
                "[tcp @ 0x1] Failed to resolve hostname cam: Name or service not known\n\
                 pipe:0: Input/output error",
                "no such host",
            ),
            ("[tcp @ 0x1] Connection to tcp://cam:554 failed: No route to host", "the camera is unreachable"),
            ("pipe:0: Connection timed out", "no data for 4s while waiting for the camera's answer"),
            ("Stream map '0:v:0' matches no streams.", "the camera sends no video"),
            ("Unrecognized option 'fps_mode'.", "`ffmpeg`: this version is too old"),
            ("[tls @ 0x1] An unexpected TLS packet was received.", "rtsp:// in place of rtsps://"),
            ("pipe:0: Invalid data found when processing input", "no RTSP server answers at that port"),
            ("something new", "ffmpeg ended without a picture; its error output is in the log"),
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

    /// ffmpeg 5.1 writes the same for a silent server as for one that speaks another protocol.
    #[test]
    fn a_silent_server_is_told_by_the_time_that_it_took() {
        let line = "pipe:0: Invalid data found when processing input";
        let told = told("rtsp://cam/1#timeout=2s", line, Duration::from_secs(2));
        assert!(told.ends_with("no data for 2s while waiting for the camera's answer"), "{told}");
    }

    const REFUSED: &str = "[rtsp @ 0x1] method SETUP failed: 461 Unsupported Transport\n\
                           pipe:0: Protocol not supported";
    const OTHER: &str = "[rtsp @ 0x1] Nonmatching transport in server reply\n\
                         pipe:0: Invalid data found when processing input";

    #[test]
    fn a_camera_that_answers_but_will_not_send_so_is_told_from_one_that_is_not_there() {
        use Transport::{Tcp, Udp};
        for (url, transport, expected) in [
            ("rtsp://cam/1", Tcp, "refuses TCP; Framecast tries UDP next"),
            ("rtsp://cam/1", Udp, "refuses both TCP and UDP"),
            ("rtsp://cam/1#transport=tcp", Tcp, "refuses TCP; leave `#transport=tcp` out"),
            ("rtsp://cam/1#transport=udp", Udp, "refuses UDP; leave `#transport=udp` out"),
            ("rtsps://cam/1", Tcp, "write rtsp:// in place of rtsps://"),
        ] {
            for lines in [REFUSED, OTHER] {
                let (is_refused, told) = read(url, transport, lines, Duration::ZERO);
                assert!(is_refused && told.contains("the camera answered, but "), "{told}");
                assert!(told.contains(expected), "{told}");
            }
        }
    }

    #[test]
    fn another_refusal_of_the_first_transport_lets_the_second_be_tried_but_keeps_its_words() {
        let line = |method: &str, answer: &str| format!("[rtsp @ 0x1] method {method} failed: {answer}");
        let read = |line: &str| read("rtsp://cam/1", Transport::Tcp, line, Duration::ZERO);
        let (is_refused, told) = read(&line("SETUP", "400 Bad Request"));
        assert!(is_refused && told.contains("answered 400 Bad Request; check the path"), "{told}");
        for (method, answer) in [("SETUP", "453 Not Enough Bandwidth"), ("DESCRIBE", "400 Bad Request")] {
            assert!(!read(&line(method, answer)).0, "{method} {answer}");
        }
        assert!(!read("[tcp @ 0x1] Connection to tcp://cam:554 failed: Connection refused").0);
    }

    #[test]
    fn datagrams_that_do_not_come_are_told_with_what_may_keep_them() {
        let line = "[mjpeg @ 0x1] dimensions not set";
        let read = |url: &str, transport, seconds| read(url, transport, line, Duration::from_secs(seconds)).1;
        let udp = read("rtsp://cam/1", Transport::Udp, 5);
        assert!(
            udp.ends_with(
                "no data came over UDP within 4s; a firewall may block it: allow UDP from the camera"
            ),
            "{udp}"
        );
        let udp_alone = read("rtsp://cam/1#transport=udp", Transport::Udp, 5);
        assert!(udp_alone.ends_with("or leave `#transport=udp` out"), "{udp_alone}");
        let tcp = read("rtsp://cam/1", Transport::Tcp, 5);
        assert!(tcp.ends_with("no data for 4s while waiting for the first picture"), "{tcp}");
        let ended = read("rtsp://cam/1", Transport::Udp, 1);
        assert!(ended.ends_with("ended the stream before its first picture"), "{ended}");
    }
}
