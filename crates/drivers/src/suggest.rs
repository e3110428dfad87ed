//! Suggests what was probably meant by text that is not a valid source: a video file, a server's address, or a misspelt
//! driver name.
//!
//! Suggestions contain `ADDRESS` or `VIDEO` in place of the source's own text, which may contain secrets. Nothing here
//! opens a file or resolves a name, so the suggestions are guesses and are worded as such.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;

/// The file extensions of videos, which no driver of Framecast decodes.
const FILM_EXTENSIONS: [&str; 8] = ["mp4", "mkv", "avi", "mov", "webm", "m4v", "ts", "mjpeg"];

/// The source that messages suggest for a video file: it plays the file in a loop. `VIDEO` stands for the file's path.
pub(crate) const VIDEO_FILE_COMMAND: &str =
    "exec:ffmpeg -v error -re -stream_loop -1 -i VIDEO -q:v 5 -f mjpeg -";

/// The source that messages suggest for a stream that only ffmpeg can read. `ADDRESS` stands for the stream's URL.
pub(crate) const STREAM_COMMAND: &str = "exec:ffmpeg -i ADDRESS -f mjpeg -q:v 5 -";

/// The URL schemes of streams that ffmpeg can read but no driver of Framecast can.
const FFMPEG_SCHEMES: [&str; 10] =
    ["rtmp", "rtmps", "rtmpt", "hls", "udp", "rtp", "srt", "tcp", "mms", "mmsh"];

/// Returns the source URL that plays the video file at `path` in a loop, through ffmpeg.
pub fn video_file_source(path: &str) -> String {
    VIDEO_FILE_COMMAND.replace("VIDEO", &shell_words::quote(path))
}

/// Returns whether the extension of `path` is that of a video file.
pub(crate) fn is_video_file(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| FILM_EXTENSIONS.iter().any(|name| extension.eq_ignore_ascii_case(name)))
}

/// Returns a suggestion for a URL with this `scheme`, if the scheme is one of camera streams that no driver of
/// Framecast reads; otherwise `None`.
pub(crate) fn for_stream(scheme: &str) -> Option<String> {
    if scheme == "onvif" {
        return Some(
            "Framecast does not speak ONVIF yet. Cameras that speak ONVIF also have an RTSP address. The \
             camera's manual or page names it, often as `RTSP URL` or `main stream`: rtsp://USER:PASSWORD@HOST:554/PATH"
                .to_owned(),
        );
    }
    FFMPEG_SCHEMES.contains(&scheme).then(|| {
        let address = if scheme == "hls" { "the http: address of the playlist" } else { "its own address" };
        format!("ffmpeg can read such a stream: `{STREAM_COMMAND}`, where ADDRESS is {address}")
    })
}

/// Returns whether `text` is a server's address without `http://`: it has a port, is an IPv4 address, or has a path
/// after a host name with a dot.
pub(crate) fn looks_like_server(text: &str) -> bool {
    let (authority, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    let server = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port)));
    let is_name = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let is_server = match port {
        Some(port) => port.parse::<u16>().is_ok(),
        None if host.parse::<Ipv4Addr>().is_ok() => true,
        None => host.contains('.') && path.starts_with('/') && !is_video_file(text),
    };
    is_name && is_server && !text.contains(char::is_whitespace)
}

/// Returns a hint for a plugged-in camera if `text` is a device's number, a device's name without its folder, or a
/// common word for a camera.
pub(crate) fn for_device(text: &str) -> Option<String> {
    let number = text.strip_prefix("video").unwrap_or(text);
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let is_any = ["webcam", "camera", "cam", "usb", "video"].contains(&text.to_ascii_lowercase().as_str());
    let number = if is_number { number } else { "0" };
    (is_number || is_any).then(|| {
        format!("For a camera that is plugged in, write `/dev/video{number}`; `framecast devices` lists the devices")
    })
}

/// Returns the entry of `known` that `word` was probably meant to be: the closest one, if they differ by at most one
/// letter, or by two in words of more than four letters.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let slips = if word.len() > 4 { 2 } else { 1 };
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), *name))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns whether `word` could be a mistyped entry of `known`, however short: they differ by at most half of the
/// entry's letters.
pub(crate) fn resembles(word: &str, known: &[&str]) -> bool {
    known.iter().any(|name| strsim::damerau_levenshtein(word, name) <= name.len() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_its_scheme_is_a_server() {
        for (text, is_one) in [
            ("localhost:8080", true),
            ("192.168.1.20", true),
            ("192.168.1.20:8080/x", true),
            ("cam.local/video", true),
            ("me:s3cret@cam.local/video?token=abc", true),
            ("cam:?action=stream", false),
            ("film.mp4", false),
            ("videos.d/film.mp4", false),
            ("pictures/front", false),
            ("a b:5", false),
            ("", false),
        ] {
            assert_eq!(looks_like_server(text), is_one, "{text}");
        }
    }

    #[test]
    fn a_film_is_told_by_its_name() {
        assert!(is_video_file("my film.MP4") && !is_video_file("pictures"));
        assert!(video_file_source("my film.MP4").contains("-i 'my film.MP4' "));
    }

    #[test]
    fn streams_that_ffmpeg_reads_are_told_so() {
        assert!(for_stream("rtmp").unwrap().contains("`exec:ffmpeg -i ADDRESS -f mjpeg -q:v 5 -`"));
        assert!(for_stream("hls").unwrap().contains("the playlist"));
        assert!(for_stream("onvif").unwrap().contains("does not speak ONVIF yet"));
        assert_eq!(for_stream("http"), None);
    }

    #[test]
    fn a_device_without_its_folder_is_told_from_another_word() {
        for (text, path) in [
            ("0", Some("/dev/video0")),
            ("video12", Some("/dev/video12")),
            ("Webcam", Some("/dev/video0")),
            ("video0x", None),
            ("12345", None),
            ("", None),
        ] {
            let told = for_device(text);
            assert_eq!(told.is_some(), path.is_some(), "{text}");
            assert!(told.unwrap_or_default().contains(path.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["emulated", "test", "images", "exec", "pipe", "http", "https"];
        for (word, name) in [
            ("emulted", Some("emulated")),
            ("tset", Some("test")),
            ("image", Some("images")),
            ("htp", Some("http")),
            ("htps", Some("https")),
            ("nope", None),
            ("webcam", None),
        ] {
            assert_eq!(nearest(word, &known), name, "{word}");
        }
    }
}
