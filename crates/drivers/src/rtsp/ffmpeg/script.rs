//! Creates the input of ffmpeg and ffprobe: arguments, which everyone on the machine can read, and a script with the
//! camera's URL for standard input, which nobody else can read.
//!
//! The script is for ffmpeg's concat demuxer (<https://ffmpeg.org/ffmpeg-formats.html#concat>), and its only file is
//! the camera. The demuxer adds no delay. The script sets options of the camera's stream, which needs ffmpeg 5.1.

use std::time::Duration;

use super::probe_cache::ProbeResult;
use crate::rtsp::target::{RtspTarget, Transport};

/// The kinds of streams to request from the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Video,
    /// Pictures and sound. Requesting both makes it possible to tell a camera without pictures from one that cannot be
    /// reached.
    All,
}

/// The protocols that the script is allowed to use for a camera. By default, a script can use only files.
const PROTOCOLS: &str = "pipe,rtsp,rtp,udp,tcp,tls";

/// The quality of re-encoded pictures, on ffmpeg's scale from 2 (best) to 31. It corresponds to about 85 on the usual
/// scale of JPEG quality, from 1 to 100.
const QUALITY: &str = "4";

/// The options for a quick start. With them, the programs read only the stream's description before they pass pictures
/// on, and do not hold frames back to reorder them. The option `nobuffer`, which is usual for live video, is missing: with
/// it, ffmpeg drops what it has read by then, which is the first keyframe, and so shows nothing up to the next one.
const LOW_DELAY: [&str; 6] = ["-flags", "low_delay", "-probesize", "32", "-analyzeduration", "0"];

/// The same options in the script, for the camera's stream.
const QUICK_START: &str = "option probesize 32\noption analyzeduration 0\n";

/// The options in the script for a camera that has not said its parameter sets: ffmpeg waits up to ten seconds for them,
/// which come with a keyframe.
const PATIENT_START: &str =
    "option fpsprobesize 0\noption probesize 5000000\noption analyzeduration 10000000\n";

/// The longest silence of a camera that ffmpeg's `timeout` option allows, because the option counts microseconds in 31
/// bits. The supervisor, which keeps the camera open, ends a silent source earlier than that.
const MAX_SILENCE: Duration = Duration::from_secs(2000);

/// Returns the script for the standard input of ffmpeg and ffprobe. It makes the programs give up when no byte has come
/// from the camera for the time `silence`. `start` has the options for the beginning.
fn concat_script(
    target: &RtspTarget,
    transport: Transport,
    media: Media,
    start: &str,
    silence: Option<Duration>,
) -> String {
    let timeout_us = silence.unwrap_or(MAX_SILENCE).min(MAX_SILENCE).as_micros();
    let (address, transport) = (&target.address, transport.name());
    let media = if media == Media::Video { "option allowed_media_types video\n" } else { "" };
    format!(
        "ffconcat version 1.0\nfile '{address}'\noption rtsp_transport {transport}\noption timeout {timeout_us}\n\
         {start}{media}"
    )
}

/// Returns the script to read a camera of which `known` is known.
pub(super) fn read_script(target: &RtspTarget, known: &ProbeResult) -> String {
    let start = if needs_patience(target, known) { PATIENT_START } else { QUICK_START };
    concat_script(target, known.transport, Media::Video, start, target.timeout)
}

/// Returns the script for ffprobe. It makes ffprobe give up when no byte has come from the camera for the time
/// `silence`.
pub(super) fn probe_script(target: &RtspTarget, transport: Transport, silence: Duration) -> String {
    concat_script(target, transport, Media::All, QUICK_START, Some(silence))
}

/// Returns whether the camera's video is passed on as it is. Over UDP packets can be lost, and ffmpeg does not say which:
/// nobody would know which frames can be decoded.
fn copies_video(target: &RtspTarget, known: &ProbeResult) -> bool {
    let is_wanted_as_it_is = target.fps.is_none() && target.size_px.is_none();
    matches!(&*known.codec, "h264" | "hevc") && known.transport == Transport::Tcp && is_wanted_as_it_is
}

/// Returns whether ffmpeg must wait for the video's parameter sets: MP4 begins with them.
fn needs_patience(target: &RtspTarget, known: &ProbeResult) -> bool {
    copies_video(target, known) && !known.has_parameter_sets
}

/// Returns ffprobe's arguments to list the codecs. The camera's description of its streams is enough for that, so
/// ffprobe need not wait for a picture from a slow camera.
pub(super) fn probe_arguments() -> Vec<String> {
    let mut arguments = vec!["-v", "error", "-nofind_stream_info"];
    arguments.extend(&LOW_DELAY[2..]);
    arguments.extend(["-f", "concat", "-safe", "0", "-protocol_whitelist", PROTOCOLS]);
    arguments.extend(["-show_entries", "stream=codec_name,codec_type,extradata_size"]);
    arguments.extend(["-of", "compact=p=0", "-i", "pipe:0"]);
    arguments.into_iter().map(str::to_owned).collect()
}

/// Finds the first video stream in ffprobe's output, which has lines like
/// `codec_name=h264|codec_type=video|extradata_size=40`. The answer came over `transport`.
pub(super) fn video_stream(answer: &str, transport: Transport) -> Option<ProbeResult> {
    let stream =
        answer.lines().find(|line| line.split('|').any(|field| field.trim() == "codec_type=video"))?;
    let field = |name: &str| stream.split('|').find_map(|field| field.trim().strip_prefix(name));
    let has_parameter_sets = field("extradata_size=").is_some_and(|size| size != "0");
    Some(ProbeResult { codec: field("codec_name=")?.to_owned(), has_parameter_sets, transport })
}

/// Returns ffmpeg's arguments to read a camera of which `known` is known, and to write its video as fragmented MP4 or its
/// pictures as JPEG images to standard output.
pub(super) fn read_arguments(target: &RtspTarget, known: &ProbeResult) -> Vec<String> {
    let mut arguments = vec!["-nostdin", "-hide_banner", "-v", "error"];
    arguments.extend(if needs_patience(target, known) { &LOW_DELAY[..2] } else { &LOW_DELAY[..] });
    arguments.extend(["-f", "concat", "-safe", "0", "-protocol_whitelist", PROTOCOLS, "-i", "pipe:0"]);
    arguments.extend(["-map", "0:v:0"]);
    let (codec, format) = (&*known.codec, if copies_video(target, known) { "mp4" } else { "mjpeg" });
    let coding = match codec {
        _ if format == "mp4" => COPY_VIDEO.map(str::to_owned).into(),
        "mjpeg" if target.size_px.is_none() => copy_pictures(target),
        _ => encode(target, codec),
    };
    let arguments = arguments.into_iter().map(str::to_owned).chain(coding);
    arguments.chain(["-f", format, "pipe:1"].map(str::to_owned)).collect()
}

/// ffmpeg's arguments to pass the camera's video on as it is, in MP4 that has a fragment for each frame.
const COPY_VIDEO: [&str; 6] =
    ["-c:v", "copy", "-flush_packets", "1", "-movflags", "frag_every_frame+empty_moov+default_base_moof"];

/// Returns ffmpeg's arguments to copy the camera's pictures and, if the URL sets a maximum frame rate, drop those that
/// exceed it. Framecast does not use the timestamps, but ffmpeg complains if they do not increase, so the picture's
/// number replaces each timestamp.
fn copy_pictures(target: &RtspTarget) -> Vec<String> {
    let count = "setts=ts=N".to_owned();
    let filters = match target.fps {
        Some(fps) => format!("noise=drop='not({})',{count}", is_due("pts*tb", fps)),
        None => count,
    };
    ["-c:v", "copy", "-bsf:v", &filters].map(str::to_owned).into()
}

/// Returns ffmpeg's arguments to re-encode the pictures, in a single thread, because each additional thread would delay
/// the output by a frame.
fn encode(target: &RtspTarget, codec: &str) -> Vec<String> {
    let mut filters = Vec::new();
    let is_due = target.fps.map(|fps| is_due("t", fps));
    // ffmpeg itself drops the pictures of H.264 before the first keyframe; those of H.265 it decodes to grey pictures.
    let condition =
        if codec == "h264" { is_due } else { Some(after_keyframe(is_due.as_deref().unwrap_or("1"))) };
    if let Some(condition) = condition {
        filters.push(format!("select='{condition}'"));
    }
    filters.push("settb=1/1000,setpts=N".to_owned());
    let size = target.size_px.map(|(width, height)| format!("{width}:{height}:")).unwrap_or_default();
    // JPEG uses all 256 values of luma, video only 220 of them.
    filters.push(format!("scale={size}out_range=pc,format=yuvj420p"));
    let filters = filters.join(",");
    #[rustfmt::skip]
    let arguments = [
        "-vf", &filters, "-fps_mode", "passthrough", "-enc_time_base", "1:1000",
        "-c:v", "mjpeg", "-q:v", QUALITY, "-threads:v", "1",
    ];
    arguments.map(str::to_owned).into()
}

/// Returns an ffmpeg expression that selects frames so that at most `fps` a second remain. `time` is the ffmpeg
/// expression for a frame's time.
///
/// Variable 0 of the expression is the time when the next frame is due: one interval after the previous due time, so
/// that a rate of 10 leaves ten of 25 frames and not eight. A frame can be early by a fifth of an interval, because
/// cameras' clocks are uneven. If the camera's clock jumps, the due time is set anew.
fn is_due(time: &str, fps: f64) -> String {
    format!(
        "if(isnan({time})+gte({time}+0.2/{fps},ld(0))+lt({time}+2/{fps},ld(0)),\
         1+0*st(0,clip(ld(0)+1/{fps},{time}+0.5/{fps},{time}+1.5/{fps})),0)"
    )
}

/// Returns an ffmpeg expression that has the value of `condition` after the first keyframe, and is false before it.
/// After 300 frames without a keyframe, it has the value of `condition` too, because no keyframe will come. Variable 1
/// of the expression records whether a keyframe has come.
fn after_keyframe(condition: &str) -> String {
    format!("if(st(1,max(ld(1),key))+gt(n,300),{condition},0)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceUrl;

    fn target(text: &str) -> RtspTarget {
        RtspTarget::parse(&SourceUrl::parse(text).unwrap()).unwrap()
    }

    fn known(codec: &str, has_parameter_sets: bool, transport: Transport) -> ProbeResult {
        ProbeResult { codec: codec.to_owned(), has_parameter_sets, transport }
    }

    /// The arguments for a camera whose parameter sets are known.
    fn arguments(url: &str, codec: &str) -> String {
        read_arguments(&target(url), &known(codec, true, Transport::Tcp)).join(" ")
    }

    #[test]
    fn the_codec_is_that_of_the_first_stream_of_pictures() {
        let answer = "codec_name=pcm_alaw|codec_type=audio\ncodec_name=hevc|codec_type=video\r\n\n";
        let of = |answer: &str| video_stream(answer, Transport::Udp);
        assert_eq!(of(answer), Some(known("hevc", false, Transport::Udp)));
        let sized = |size| of(&format!("codec_type=video|codec_name=h264|extradata_size={size}\n"));
        assert_eq!(sized(40), Some(known("h264", true, Transport::Udp)));
        assert_eq!(sized(0), Some(known("h264", false, Transport::Udp)));
        for none in ["", "codec_name=pcm_alaw|codec_type=audio\n", "codec_type=video\n"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn video_that_framecast_carries_is_copied_unless_packets_can_be_lost() {
        for codec in ["h264", "hevc"] {
            let copied = arguments("rtsps://cam/1", codec);
            assert!(copied.contains("-c:v copy ") && copied.ends_with("-f mp4 pipe:1"), "{copied}");
            for url in ["rtsps://cam/1#fps=5", "rtsps://cam/1#size=640x360"] {
                assert!(arguments(url, codec).ends_with("-f mjpeg pipe:1"), "{url}");
            }
            let udp = known(codec, true, Transport::Udp);
            let lossy = read_arguments(&target("rtsp://cam/1"), &udp).join(" ");
            assert!(lossy.ends_with("-f mjpeg pipe:1"), "{lossy}");
        }
        assert!(arguments("rtsps://cam/1", "mpeg4").contains("-c:v mjpeg"));
    }

    #[test]
    fn parameter_sets_that_the_camera_has_not_said_are_awaited() {
        let target = target("rtsps://cam/1");
        for (has_sets, quick) in [(true, true), (false, false)] {
            let known = known("h264", has_sets, Transport::Tcp);
            let script = read_script(&target, &known);
            assert_eq!(script.contains("option probesize 32\n"), quick, "{script}");
            assert!(script.ends_with("option allowed_media_types video\n"), "{script}");
            let arguments = read_arguments(&target, &known).join(" ");
            assert_eq!(arguments.contains("-probesize 32 "), quick, "{arguments}");
        }
    }

    #[test]
    fn the_pictures_of_a_camera_are_copied_unless_another_size_is_wanted() {
        let of = arguments;
        assert!(of("rtsp://cam/1", "mjpeg").contains("-c:v copy -bsf:v setts=ts=N -f mjpeg pipe:1"));
        let slow = of("rtsp://cam/1#fps=5", "mjpeg");
        assert!(slow.contains("-c:v copy -bsf:v noise=drop='not(if("), "{slow}");
        for again in [of("rtsp://cam/1#size=640x360", "mjpeg"), of("rtsp://cam/1#size=640x360", "h264")] {
            assert!(again.contains("scale=640:360:out_range=pc,format=yuvj420p"), "{again}");
            assert!(again.contains("-c:v mjpeg"), "{again}");
        }
    }

    #[test]
    fn pictures_before_the_first_keyframe_are_left_out() {
        let of = arguments;
        let size = "rtsp://cam/1#size=640x360";
        assert!(of(size, "hevc").contains("select='if(st(1,max(ld(1),key))+gt(n,300),1,0)',settb"));
        assert!(of("rtsp://cam/1#fps=5", "hevc").contains("gt(n,300),if(isnan(t)+"));
        assert!(!of(size, "h264").contains("select"));
    }

    #[test]
    fn only_an_explicit_time_bounds_the_silence() {
        let target = target("rtsp://cam/1");
        let timeout = |silence| {
            let script = concat_script(&target, Transport::Udp, Media::All, QUICK_START, silence);
            assert!(script.contains("\noption rtsp_transport udp\n"), "{script}");
            let (_, rest) = script.split_once("option timeout ").unwrap();
            rest.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(timeout(Some(Duration::from_millis(1500))), 1_500_000);
        for longest in [None, Some(Duration::from_secs(3600))] {
            assert!((600_000_000..=i32::MAX as u64).contains(&timeout(longest)), "{longest:?}");
        }
    }

    #[test]
    fn the_password_is_in_the_script_and_not_among_the_arguments() {
        let target = target("rtsp://me:s3cret@cam/1#fps=5&size=640x360");
        let known = |codec| known(codec, true, Transport::Tcp);
        let script = read_script(&target, &known("h264"));
        assert!(script.contains("\nfile 'rtsp://me:s3cret@cam/1'\noption "));
        let of = |codec| read_arguments(&target, &known(codec));
        for arguments in [probe_arguments(), of("h264"), of("mjpeg")] {
            assert!(!arguments.join(" ").contains("s3cret"));
        }
    }
}
