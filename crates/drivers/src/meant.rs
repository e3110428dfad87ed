//! What was probably meant by text that is no source: a film, a server's address, a driver's name with a slip.
//!
//! Text in, what to write in its place out, secrets masked. Nothing is opened or looked up, so these are guesses, and
//! are offered as such.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::mask_secrets;

/// Films, which no decoder of ours reads.
const FILMS: [&str; 8] = ["mp4", "mkv", "avi", "mov", "webm", "m4v", "ts", "mjpeg"];

/// The source that plays the film at `path` over and over, by ffmpeg.
pub fn film_source(path: &str) -> String {
    let path = shell_words::quote(path);
    format!("exec:ffmpeg -v error -re -stream_loop -1 -i {path} -q:v 5 -f mjpeg -")
}

/// The source that plays `path`, if that is a film by its name.
pub(crate) fn film_by_name(path: &str) -> Option<String> {
    let extension = Path::new(path).extension().and_then(OsStr::to_str)?;
    FILMS.iter().any(|name| extension.eq_ignore_ascii_case(name)).then(|| film_source(path))
}

/// The URL of `text`, if that is a server's address without `http://`: with a port, with an address of four numbers,
/// or with a path below a name with a dot.
pub(crate) fn server_url(text: &str) -> Option<String> {
    let (authority, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    let server = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port)));
    let is_name = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let is_server = match port {
        Some(port) => port.parse::<u16>().is_ok(),
        None if host.parse::<Ipv4Addr>().is_ok() => true,
        None => host.contains('.') && path.starts_with('/') && film_by_name(text).is_none(),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    (is_name && is_server && !text.contains(char::is_whitespace))
        .then(|| mask_secrets(&format!("http://{authority}{slash}{path}")))
}

/// What to write for a camera that is plugged in, if `text` is a device's number or name without its folder, or what
/// people call any camera.
pub(crate) fn device(text: &str) -> Option<String> {
    let number = text.strip_prefix("video").unwrap_or(text);
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let is_any = ["webcam", "camera", "cam", "usb", "video"].contains(&text.to_ascii_lowercase().as_str());
    let number = if is_number { number } else { "0" };
    (is_number || is_any).then(|| {
        format!("A camera that is plugged in: `/dev/video{number}`; `framecast devices` lists what there is")
    })
}

/// The one of `known` that `word` is with a slip or two.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let slips = if word.len() > 4 { 2 } else { 1 };
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), *name))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_its_scheme_is_a_url() {
        for (text, url) in [
            ("localhost:8080", Some("http://localhost:8080/")),
            ("192.168.1.20", Some("http://192.168.1.20/")),
            ("192.168.1.20:8080/x", Some("http://192.168.1.20:8080/x")),
            ("cam.local/video", Some("http://cam.local/video")),
            ("me:s3cret@cam.local/video?token=abc", Some("http://me:***@cam.local/video?token=***")),
            ("cam:?action=stream", None),
            ("film.mp4", None),
            ("videos.d/film.mp4", None),
            ("pictures/front", None),
            ("a b:5", None),
            ("", None),
        ] {
            assert_eq!(server_url(text).as_deref(), url, "{text}");
        }
    }

    #[test]
    fn a_film_is_told_by_its_name() {
        assert!(film_by_name("my film.MP4").unwrap().contains("-i 'my film.MP4' "));
        assert_eq!(film_by_name("pictures"), None);
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
            let told = device(text);
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
