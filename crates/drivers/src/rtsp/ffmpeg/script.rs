//! Creates the input of ffmpeg and ffprobe: arguments, which everyone on the machine can read, and a script with the
//! camera's URL for standard input, which nobody else can read.
//!
//! The script is for ffmpeg's concat demuxer (<https://ffmpeg.org/ffmpeg-formats.html#concat>), and its only file is
//! the camera. The demuxer adds no delay. The script sets options of the camera's stream, which needs ffmpeg 5.1.

use std::time::Duration;

use crate::rtsp::target::{RtspTarget, Transport};

/// The kinds of streams to request from the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
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
/// on, and do not hold frames back to reorder them.
const LOW_DELAY: [&str; 8] =
    ["-fflags", "nobuffer", "-flags", "low_delay", "-probesize", "32", "-analyzeduration", "0"];

/// The longest silence of a camera that ffmpeg's `timeout` option allows, because the option counts microseconds in 31
/// bits. The supervisor, which keeps the camera open, ends a silent source earlier than that.
const MAX_SILENCE: Duration = Duration::from_secs(2000);

/// Returns the script for the standard input of ffmpeg and ffprobe. It makes the programs give up when no byte has come
/// from the camera for the time `silence`.
pub(super) fn concat_script(
    target: &RtspTarget,
    transport: Transport,
    media: Media,
    silence: Option<Duration>,
) -> String {
    let timeout_us = silence.unwrap_or(MAX_SILENCE).min(MAX_SILENCE).as_micros();
    let (address, transport) = (&target.address, transport.name());
    let mut script = format!(
        "ffconcat version 1.0\nfile '{address}'\noption rtsp_transport {transport}\noption timeout {timeout_us}\n\
         option fflags nobuffer\noption probesize 32\noption analyzeduration 0\n"
    );
    if media == Media::Video {
        script.push_str("option allowed_media_types video\n");
    }
    script
}

/// Returns ffprobe's arguments to list the codecs. The camera's description of its streams is enough for that, so
/// ffprobe need not wait for a picture from a slow camera.
pub(super) fn probe_arguments() -> Vec<String> {
    let mut arguments = vec!["-v", "error", "-nofind_stream_info"];
    arguments.extend(&LOW_DELAY[4..]);
    arguments.extend(["-f", "concat", "-safe", "0", "-protocol_whitelist", PROTOCOLS]);
    arguments.extend(["-show_entries", "stream=codec_name,codec_type", "-of", "compact=p=0", "-i", "pipe:0"]);
    arguments.into_iter().map(str::to_owned).collect()
}

/// Finds the codec of the first video stream in ffprobe's output, which has lines like
/// `codec_name=h264|codec_type=video`.
pub(super) fn video_codec(answer: &str) -> Option<String> {
    let stream =
        answer.lines().find(|line| line.split('|').any(|field| field.trim() == "codec_type=video"))?;
    let name = stream.split('|').find_map(|field| field.trim().strip_prefix("codec_name="))?;
    Some(name.to_owned())
}

/// Returns ffmpeg's arguments to read a camera that sends `codec`, and to write JPEG images to standard output.
pub(super) fn read_arguments(target: &RtspTarget, codec: &str) -> Vec<String> {
    let mut arguments = vec!["-nostdin", "-hide_banner", "-v", "error"];
    arguments.extend(LOW_DELAY);
    arguments.extend(["-f", "concat", "-safe", "0", "-protocol_whitelist", PROTOCOLS, "-i", "pipe:0"]);
    arguments.extend(["-map", "0:v:0"]);
    let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let rest =
        if codec == "mjpeg" && target.size_px.is_none() { copy(target) } else { encode(target, codec) };
    arguments.extend(rest);
    arguments.extend(["-f".to_owned(), "mjpeg".to_owned(), "pipe:1".to_owned()]);
    arguments
}

/// Returns ffmpeg's arguments to copy the camera's pictures and, if the URL sets a maximum frame rate, drop those that
/// exceed it. Framecast does not use the timestamps, but ffmpeg complains if they do not increase, so the picture's
/// number replaces each timestamp.
fn copy(target: &RtspTarget) -> Vec<String> {
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

    #[test]
    fn the_codec_is_that_of_the_first_stream_of_pictures() {
        let answer = "codec_name=pcm_alaw|codec_type=audio\ncodec_name=hevc|codec_type=video\r\n\n";
        assert_eq!(video_codec(answer).as_deref(), Some("hevc"));
        assert_eq!(video_codec("codec_type=video|codec_name=h264").as_deref(), Some("h264"));
        for none in ["", "codec_name=pcm_alaw|codec_type=audio\n", "codec_type=video\n"] {
            assert_eq!(video_codec(none), None, "{none}");
        }
    }

    #[test]
    fn the_pictures_of_a_camera_are_copied_unless_another_size_is_wanted() {
        let of = |url: &str, codec: &str| read_arguments(&target(url), codec).join(" ");
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
        let of = |url: &str, codec: &str| read_arguments(&target(url), codec).join(" ");
        assert!(of("rtsp://cam/1", "hevc").contains("select='if(st(1,max(ld(1),key))+gt(n,300),1,0)',settb"));
        assert!(of("rtsp://cam/1#fps=5", "hevc").contains("gt(n,300),if(isnan(t)+"));
        assert!(!of("rtsp://cam/1", "h264").contains("select"));
    }

    #[test]
    fn only_an_explicit_time_bounds_the_silence() {
        let target = target("rtsp://cam/1");
        let timeout = |silence| {
            let script = concat_script(&target, Transport::Udp, Media::All, silence);
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
        let script = concat_script(&target, Transport::Tcp, Media::Video, None);
        assert!(script.contains("\nfile 'rtsp://me:s3cret@cam/1'\noption "));
        for arguments in
            [probe_arguments(), read_arguments(&target, "h264"), read_arguments(&target, "mjpeg")]
        {
            assert!(!arguments.join(" ").contains("s3cret"));
        }
    }
}
