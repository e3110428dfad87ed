//! Decides which parts of a source's URL are shown, and to whom.
//!
//! Viewers see only the scheme and host of a server, the device node, or the name of a program. The log adds the port
//! and, at level debug, paths and the names of parameters. There is no list of names that are secret. Instead, every
//! part that could contain a secret because of its position is left out, and all values are masked.

use std::net::Ipv6Addr;
use std::path::Path;

use percent_encoding::percent_decode_str;

/// The text that replaces a secret.
pub(crate) const MASK: &str = "***";

/// The minimum number of characters of a possible token, which is a secret such as an access key.
const TOKEN_CHARS: usize = 8;

/// The URL schemes of servers. Users may forget the slashes after such a scheme.
const SERVERS: [&str; 4] = ["http", "https", "rtsp", "rtsps"];

/// A server's host name or IP address, and its port if the URL has one.
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// Returns the parts of the source `scheme:rest` that viewers may see.
pub(crate) fn public(scheme: &str, rest: &str) -> String {
    match scheme {
        _ if rest.starts_with("//") => match host_port(scheme, rest) {
            Some(HostPort { host, .. }) => format!("{scheme}://{host}"),
            None => format!("{scheme}:"),
        },
        "exec" => format!("exec:{}", first_word(rest).map(|word| program(&word)).unwrap_or_default()),
        "v4l2" => node(rest),
        "images" | "pipe" => format!("{scheme}:{}", path(rest.split('?').next().unwrap_or_default())),
        _ if SERVERS.contains(&scheme) => format!("{scheme}:"),
        // In `user:password@host`, the text before the first colon is not a scheme.
        _ if rest.contains('@') => format!("{MASK}:"),
        _ => format!("{}:", if may_be_token(scheme) { MASK } else { scheme }),
    }
}

/// Returns the parts of the source `scheme:rest` that the log may show: those for viewers, and the port.
pub(crate) fn for_log(scheme: &str, rest: &str) -> String {
    match host_port(scheme, rest).and_then(|server| server.port) {
        Some(port) => format!("{}:{port}", public(scheme, rest)),
        None => public(scheme, rest),
    }
}

/// Returns the parts of the source `scheme:rest` that the log may show at level debug: also paths and the names of
/// parameters, without any values.
pub(crate) fn for_debug(scheme: &str, rest: &str) -> String {
    if scheme == "exec" {
        let words = shell_words::split(rest).unwrap_or_default();
        let arguments = words.iter().skip(1).map(|word| format!(" {}", argument(word)));
        return format!("{}{}", public(scheme, rest), arguments.collect::<String>());
    }
    let (rest_of_place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (place, query) = rest_of_place.split_once('?').unwrap_or((rest_of_place, ""));
    let server = host_port(scheme, rest);
    // If the parts of the URL cannot be told apart, none of them is shown.
    let is_unclear =
        server.is_none() && (SERVERS.contains(&scheme) || rest.contains("//") || rest.contains('@'));
    let mut shown = match server {
        Some(HostPort { host, port }) => {
            let (authority, path) = place[2..].split_at(place[2..].find('/').unwrap_or(place.len() - 2));
            let login = if authority.contains('@') { "***@" } else { "" };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let path: Vec<String> = path.split('/').map(segment).collect();
            format!("{scheme}://{login}{host}{port}{}", path.join("/"))
        }
        None => public(scheme, rest),
    };
    if is_unclear {
        return shown;
    }
    for (sign, pairs) in [('?', query), ('#', fragment)] {
        if !pairs.is_empty() {
            shown.push(sign);
            let pairs: Vec<String> = pairs.split('&').map(parameter).collect();
            shown.push_str(&pairs.join("&"));
        }
    }
    shown
}

/// Returns the host and port of the server in `scheme:rest`; `None` if there is no server, or if part of a user or
/// password could be mistaken for the host.
pub(crate) fn host_port(scheme: &str, rest: &str) -> Option<HostPort> {
    let address = rest.strip_prefix("//")?;
    // Browsers and the URL standard treat a backslash as a slash.
    let end = address.find(['/', '?', '#', '\\']).unwrap_or(address.len());
    let (authority, behind) = address.split_at(end);
    let (before_fragment, fragment) = behind.split_once('#').unwrap_or((behind, ""));
    let (path, query) = before_fragment.split_once('?').unwrap_or((before_fragment, ""));
    let may_be_cut = path.contains('@')
        || fragment.contains('@')
        || query.split('@').next().is_some_and(|before| before.len() < query.len() && !before.contains('='))
        || (query.contains('@') && authority.contains(':'));
    if may_be_cut {
        return None;
    }
    let server = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (server, ""),
    };
    let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    (is_scheme(scheme) && is_host(host))
        .then(|| HostPort { host: host.to_lowercase(), port: port.filter(|port| !is_default(scheme, *port)) })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Returns whether `text` can be a host: a name, an IPv4 address, or an IPv6 address in brackets. A name has letters,
/// digits, and those marks that RFC 3986 §3.2.2 allows; an escaped byte in it could hide a sign that ends a host.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|address| address.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-._~!$&'()*+,;=".contains(c))
        }
    }
}

/// Returns whether a server of the URL scheme `scheme` has the port `port` unless its URL names another.
fn is_default(scheme: &str, port: u16) -> bool {
    matches!((scheme, port), ("http" | "ws", 80) | ("https" | "wss", 443) | ("ftp", 21))
}

/// Returns `path` with possible tokens masked.
pub(crate) fn path(path: &str) -> String {
    if path.contains("://") {
        return MASK.to_owned();
    }
    let (folder, name) =
        path.rsplit_once('/').map_or(("", path), |(folder, _)| path.split_at(folder.len() + 1));
    let folders: Vec<&str> =
        folder.split('/').map(|part| if may_be_token(part) { MASK } else { part }).collect();
    // The digit in the extension of `film.mp4` is not part of its name.
    let stem =
        name.rsplit_once('.').filter(|(_, extension)| extension.len() <= 4).map_or(name, |(stem, _)| stem);
    format!("{}{}", folders.join("/"), if may_be_token(stem) { MASK } else { name })
}

/// Returns the text that represents `path` in messages. The path of a device is unchanged. In any other path, possible
/// tokens are masked, except in the file name of a picture.
pub(crate) fn file(path: &Path) -> String {
    if path.starts_with("/dev") {
        return path.display().to_string();
    }
    let is_picture = path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg")
    });
    let text = path.display().to_string();
    match text.rsplit_once('/').filter(|_| is_picture) {
        Some((folder, name)) => format!("{}/{name}", self::path(folder)),
        None => self::path(&text),
    }
}

/// Returns the name of the program that `word` runs, without its folder; `***` if the name has unusual characters.
pub(crate) fn program(word: &str) -> String {
    let name = word.rsplit('/').next().unwrap_or_default();
    let is_name = name.chars().all(|c| c.is_alphanumeric() || "._+-".contains(c));
    if is_name { name.to_owned() } else { MASK.to_owned() }
}

/// Returns the name of an unknown option; `***` if it has the characters or the length of a secret.
pub(crate) fn option(name: &str) -> &str {
    let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_word && !may_be_token(name) { name } else { MASK }
}

/// Returns whether `text` may be a token: it has eight or more characters, with at least one digit and one letter.
pub(crate) fn may_be_token(text: &str) -> bool {
    text.chars().count() >= TOKEN_CHARS
        && text.contains(|c: char| c.is_ascii_digit())
        && text.contains(char::is_alphabetic)
}

fn first_word(rest: &str) -> Option<String> {
    match shell_words::split(rest) {
        Ok(words) => words.into_iter().next(),
        Err(_) => rest.split_whitespace().next().map(str::to_owned),
    }
}

/// Returns the display form of a V4L2 source: the node of its device, or the properties that identify the device
/// (`/dev/video0`, `v4l2:usb=046d:0825`).
fn node(rest: &str) -> String {
    let place = rest.split('?').next().unwrap_or_default();
    if let Some((before, _)) = place.split_once('#').filter(|(before, _)| before.starts_with('/')) {
        return node(before);
    }
    match place {
        _ if place.contains("://") || place.contains('@') => "v4l2:".to_owned(),
        _ if place.starts_with("/dev/") => place.to_owned(),
        _ if place.starts_with('/') => path(place),
        _ => format!("v4l2:{place}"),
    }
}

/// Returns a segment of a server's path for display. A possible token is masked, and so is the text after a `=` or `:`.
fn segment(part: &str) -> String {
    let decoded = percent_decode_str(part).decode_utf8_lossy();
    if let Some(at) = part.find(['=', ':'])
        && !may_be_token(&part[..at])
    {
        return format!("{}{MASK}", &part[..=at]);
    }
    if may_be_token(part) || may_be_token(&decoded) { MASK.to_owned() } else { part.to_owned() }
}

/// Returns the query parameter `pair` for display: `name=***`, or only `***` if there is no value, because then the
/// name itself may be a secret. Also `***` if the name looks like a token.
fn parameter(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() && !may_be_token(name) && is_name(name) => {
            format!("{name}={MASK}")
        }
        _ => MASK.to_owned(),
    }
}

/// Returns a program's argument for display. The name of an option is unchanged, any other argument is masked. In
/// `-psecret`, where the value follows the name directly, only the value is masked.
fn argument(word: &str) -> String {
    if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
        return match long.split_once('=') {
            Some((name, _)) if is_name(name) && !may_be_token(name) => format!("--{name}={MASK}"),
            None if is_name(long) && !may_be_token(long) => word.to_owned(),
            _ => MASK.to_owned(),
        };
    }
    match word.strip_prefix('-').and_then(|short| short.chars().next()) {
        Some(letter) if letter.is_alphanumeric() && word.chars().count() == 2 => word.to_owned(),
        Some(letter) if letter.is_alphanumeric() => format!("-{letter}{MASK}"),
        _ => MASK.to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (&str, &str) {
        text.split_once(':').unwrap()
    }

    #[test]
    fn viewers_are_told_the_place_of_a_source_alone() {
        for (source, told) in [
            ("http://me:s3cret@cam:8080/x?token=abc#fps=3", "http://cam"),
            ("http://me:p@ss@cam/x", "http://cam"),
            ("rtsp://token@[::1]:554/x", "rtsp://[::1]"),
            ("http://cam/x?mail=a@b", "http://cam"),
            ("http://CAM:80/x", "http://cam"),
            ("http://kamera-küche/x", "http://kamera-küche"),
            ("http://me%40cam/x", "http:"),
            ("http://cam:99999/x", "http:"),
            ("rtsp://[::1/x", "rtsp:"),
            ("rtsp://::1/x", "rtsp:"),
            ("https://cam", "https://cam"),
            ("exec:/opt/token123/ffmpeg -i rtsp://u:p@h/x -f mjpeg -", "exec:ffmpeg"),
            ("exec:TOKEN=abc cam", "exec:***"),
            ("exec:'cam 1", "exec:***"),
            ("exec:", "exec:"),
            ("v4l2:/dev/video0?size=640x480", "/dev/video0"),
            ("v4l2:/dev/video0#size=640x480", "/dev/video0"),
            ("v4l2:usb=046d:0825", "v4l2:usb=046d:0825"),
            ("v4l2:name=Cam #2?fps=5", "v4l2:name=Cam #2"),
            ("v4l2:http://u:p@h/", "v4l2:"),
            ("images:/srv/cam/*.jpg?fps=1", "images:/srv/cam/*.jpg"),
            ("images:/srv/MadeUpToken5/x?watch", "images:/srv/***/x"),
            ("images:/srv/MadeUpToken5", "images:/srv/***"),
            ("images:film.mp4", "images:film.mp4"),
            ("pipe:-", "pipe:-"),
            ("pi:?camera=1", "pi:"),
            ("nope://u:p@h:1/x", "nope://h"),
            ("nope:anything", "nope:"),
            ("MadeUpToken5:", "***:"),
        ] {
            let (scheme, rest) = split(source);
            assert_eq!(public(scheme, rest), told, "{source}");
        }
    }

    #[test]
    fn no_part_of_a_user_or_password_is_taken_for_a_host() {
        for (source, told) in [
            ("http://me:12/s3cret@cam/", "http:"),
            ("http://s3c/ret@cam/", "http:"),
            ("http://s3c?ret@cam/", "http:"),
            ("http://s3c#ret@cam/", "http:"),
            ("http://me:12?a=s3cret@cam/", "http:"),
            ("http://me:12\\s3cret@cam/", "http:"),
            ("http://me:s3c/ret@cam/", "http:"),
            ("http://me:s3cret@", "http:"),
            ("http://cam:s3cret", "http:"),
            ("http:///me:s3cret@cam/", "http:"),
            ("http:/me:s3cret@cam/", "http:"),
            ("me:s3cret@cam/", "***:"),
        ] {
            let (scheme, rest) = split(source);
            for shown in [public(scheme, rest), for_log(scheme, rest), for_debug(scheme, rest)] {
                assert_eq!(shown, told, "{source}");
            }
        }
    }

    #[test]
    fn the_log_says_the_port_and_at_debug_paths_and_names_without_values() {
        for (source, log, debug) in [
            (
                "http://me:s3cret@cam:8080/cgi-bin/snapshot.cgi?chn=0&u=admin&p=#fps=3",
                "http://cam:8080",
                "http://***@cam:8080/cgi-bin/snapshot.cgi?chn=***&u=***&***#fps=***",
            ),
            ("http://cam/MadeUpToken5abc/x", "http://cam", "http://cam/***/x"),
            ("http://cam/%4DadeUpToken/x?YWRtaW46cHc1", "http://cam", "http://cam/***/x?***"),
            ("rtsp://cam/user=admin_password=x_1.sdp", "rtsp://cam", "rtsp://cam/user=***"),
            (
                "exec:curl -s -H 'X-Key: abc' --user=a:b -psecret --compressed http://u:p@h/x",
                "exec:curl",
                "exec:curl -s -H *** --user=*** -p*** --compressed ***",
            ),
            ("v4l2:/dev/video0?size=640x480", "/dev/video0", "/dev/video0?size=***"),
            ("pi:?camera=1&hflip", "pi:", "pi:?camera=***&***"),
        ] {
            let (scheme, rest) = split(source);
            assert_eq!(for_log(scheme, rest), log);
            assert_eq!(for_debug(scheme, rest), debug);
        }
    }
}
