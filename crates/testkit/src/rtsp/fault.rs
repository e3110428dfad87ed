//! What a fake camera does wrong, or unlike others.

use std::str::FromStr;
use std::time::Duration;

/// One thing that a fake camera does wrong, or unlike others. Each has a name for the command line, see [`Fault::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The SDP has no parameter sets.
    NoSprop,
    /// The parameter sets are in the SDP alone.
    OutOfBand,
    /// The stream begins in the middle of a GOP.
    MidGop,
    /// The timestamps jump by these hours, forwards or backwards, whenever the file begins again.
    PtsJump(i64),
    /// Every second picture has the timestamp of the one before it.
    RepeatedPts,
    /// A packet with supplemental information, which comes before the picture, has the marker bit too.
    MarkerOnSei,
    /// The answers to keep-alives have the number of another request.
    WrongCseq,
    /// Keep-alives are answered with this status.
    KeepAliveRefused(u16),
    /// The answer to PLAY has no `RTP-Info`.
    NoRtpInfo,
    /// From this time of a session on, the camera sends no picture, but answers.
    Silence(Duration),
    /// At this time of a session, the camera ends the connection properly.
    Fin(Duration),
    /// At this time of a session, the camera resets the connection.
    Reset(Duration),
    /// The second file follows the first, and the first the second.
    SizeChange,
    /// Over UDP, every so manieth packet arrives after the next one.
    UdpReorder(u64),
    /// Over UDP, every so manieth packet is lost.
    UdpLoss(u64),
    /// Each request gets an answer over HTTP.
    HttpAnswer,
    /// The SDP has sound alone.
    NoVideo,
    /// The SDP names a codec that Framecast does not carry.
    ForeignCodec,
    /// The picture with the number 10 of each session, counted from 0, has this many MiB more.
    Giant(usize),
    /// The camera sends no keyframe, ever.
    NoKeyframe,
    /// So many sessions may be open at once. A session without TEARDOWN stays open until its timeout.
    FewSessions(usize),
    /// Each answer takes this time.
    SlowAnswers(Duration),
    /// The camera does not send over TCP.
    NoTcp,
    /// The camera does not send over UDP.
    NoUdp,
    /// The SDP has a back channel, for sound to the camera.
    BackChannel,
    /// PLAY is answered with this status.
    PlayRefused(u16),
    /// DESCRIBE refers the client to the next camera of the server.
    Moved,
    /// Between the camera and the client is a firewall: over UDP, nothing passes before the client has sent something.
    UdpFirewall,
    /// OPTIONS needs the login too.
    LoginForOptions,
}

impl Fault {
    /// The names of all faults, with a value where the fault has one.
    pub const NAMES: [&str; 29] = [
        "no-sprop",
        "out-of-band",
        "mid-gop",
        "pts-jump=3",
        "repeated-pts",
        "marker-on-sei",
        "wrong-cseq",
        "keep-alive-refused=454",
        "no-rtp-info",
        "silence=2",
        "fin=2",
        "reset=2",
        "size-change",
        "udp-reorder=10",
        "udp-loss=50",
        "http-answer",
        "no-video",
        "foreign-codec",
        "giant=40",
        "no-keyframe",
        "few-sessions=1",
        "slow-answers=1",
        "no-tcp",
        "no-udp",
        "back-channel",
        "play-refused=500",
        "moved",
        "udp-firewall",
        "login-for-options",
    ];
}

impl FromStr for Fault {
    type Err = String;

    /// Parses a name from [`Fault::NAMES`], with its own or another value. Times are in seconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let number =
            || value.parse::<f64>().map_err(|_| format!("`{text}` needs a number, such as `{name}=2`"));
        let time = || number().map(|seconds| Duration::from_secs_f64(seconds.max(0.0)));
        Ok(match name {
            "no-sprop" => Self::NoSprop,
            "out-of-band" => Self::OutOfBand,
            "mid-gop" => Self::MidGop,
            "pts-jump" => Self::PtsJump(number()? as i64),
            "repeated-pts" => Self::RepeatedPts,
            "marker-on-sei" => Self::MarkerOnSei,
            "wrong-cseq" => Self::WrongCseq,
            "keep-alive-refused" => Self::KeepAliveRefused(number()? as u16),
            "no-rtp-info" => Self::NoRtpInfo,
            "silence" => Self::Silence(time()?),
            "fin" => Self::Fin(time()?),
            "reset" => Self::Reset(time()?),
            "size-change" => Self::SizeChange,
            "udp-reorder" => Self::UdpReorder(number()? as u64),
            "udp-loss" => Self::UdpLoss(number()? as u64),
            "http-answer" => Self::HttpAnswer,
            "no-video" => Self::NoVideo,
            "foreign-codec" => Self::ForeignCodec,
            "giant" => Self::Giant(number()? as usize),
            "no-keyframe" => Self::NoKeyframe,
            "few-sessions" => Self::FewSessions(number()? as usize),
            "slow-answers" => Self::SlowAnswers(time()?),
            "no-tcp" => Self::NoTcp,
            "no-udp" => Self::NoUdp,
            "back-channel" => Self::BackChannel,
            "play-refused" => Self::PlayRefused(number()? as u16),
            "moved" => Self::Moved,
            "udp-firewall" => Self::UdpFirewall,
            "login-for-options" => Self::LoginForOptions,
            _ => return Err(format!("no fault `{name}`; there are {}", Self::NAMES.join(", "))),
        })
    }
}
