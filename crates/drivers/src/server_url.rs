//! Parses server URLs, for all drivers that connect to a server.
//!
//! Path and query belong to the server and are sent unchanged. Framecast's own options are in the fragment. The
//! functions only parse text: nothing here resolves a name or opens a connection.

use std::time::Duration;

use url::Url;

use crate::{Error, SourceUrl, suggest};

/// Parses `source` as the URL of a server.
///
/// # Errors
/// [`Error::BadUrl`] says how to write the URL. It is also returned for mistakes that browsers silently repair and that
/// would make Framecast request a wrong address.
pub(crate) fn parse(source: &SourceUrl) -> Result<Url, Error> {
    check(source)?;
    let scheme = source.scheme();
    let bad = |problem: String| Error::BadUrl { url: source.to_string(), problem };
    let url = Url::parse(&source.expose()).map_err(|error| {
        bad(format!(
            "cannot be read: {error}; write it like {scheme}://user:password@host:8080/path, where `/`, `?`, `#` and \
             `%` in a password are written %2F, %3F, %23 and %25"
        ))
    })?;
    let is_playlist = url.path().to_ascii_lowercase().ends_with(".m3u8");
    if is_playlist && matches!(scheme, "http" | "https") {
        return Err(bad(format!("is a playlist (HLS); read it with ffmpeg: `{}`", suggest::STREAM_COMMAND)));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad(format!("names no host; write it like {scheme}://user:password@host/path")));
    }
    Ok(url)
}

fn check(source: &SourceUrl) -> Result<(), Error> {
    let address = source.rest().trim_start_matches('/');
    let slashes = source.rest().len() - address.len();
    if slashes != 2 && !address.is_empty() {
        let problem = format!("needs two slashes before the host; write `{}://ADDRESS`", source.scheme());
        return Err(Error::BadUrl { url: source.to_string(), problem });
    }
    if has_cut_password(address) {
        let problem =
            "has an `@` after its host. If that ends a password, write `@`, `/`, `?`, `#` and `%` in the password as \
             %40, %2F, %3F, %23 and %25; if it belongs to the path, write it %40"
                .to_owned();
        return Err(Error::BadUrl { url: source.to_string(), problem });
    }
    if address.contains(char::is_whitespace) {
        let problem = "contains a space; write a space as %20, and several sources separately".to_owned();
        return Err(Error::BadUrl { url: source.to_string(), problem });
    }
    Ok(())
}

/// Returns whether `address` may contain a password with an unescaped `/`, `?` or `#`, so that a parser would take part
/// of the password for the host, port or path: `me:12/s3cret@cam` parses as host `me` and port 12, and
/// `me:pass@w/ord@cam` as host `w`.
fn has_cut_password(address: &str) -> bool {
    let end = address.find(['/', '?', '#', '\\']).unwrap_or(address.len());
    let (authority, rest) = address.split_at(end);
    authority.contains(':') && rest.contains('@')
}

/// Returns the frame interval for the rate in the query parameter `fps` of `url`, or `None` if that rate is missing or
/// outside 0.001 to 1000. The query is meant for the server, so it can contain anything, and an unusable rate is not an
/// error.
pub(crate) fn frame_interval(url: &Url) -> Option<Duration> {
    let (_, value) = url.query_pairs().filter(|(name, _)| name == "fps").last()?;
    let fps = value.parse::<f64>().ok().filter(|fps| (0.001..=1000.0).contains(fps))?;
    Some(Duration::from_secs_f64(1.0 / fps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_reads_as_port_and_path_is_refused_without_being_shown() {
        for text in [
            "rtsp://me:12/s3cret@cam/1",
            "http://me:12?s3cret@cam/",
            "http://me:1#s3cret@cam/",
            "rtsp://me:s3cr@t/s3cret@cam/1",
        ] {
            let told = parse(&SourceUrl::parse(text).unwrap()).unwrap_err().to_string();
            assert!(told.contains("%2F") && !told.contains("s3cr") && !told.contains("12"), "{told}");
        }
        for text in
            ["rtsp://me:12%2Fs3cret@cam/1", "http://cam:8080/a%40b", "http://cam/user@home", "http://cam:80/"]
        {
            assert!(parse(&SourceUrl::parse(text).unwrap()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_playlist_is_read_by_ffmpeg() {
        let told =
            parse(&SourceUrl::parse("http://me:s3cret@cam/live/A.M3U8?x").unwrap()).unwrap_err().to_string();
        assert_eq!(
            told,
            "`http://cam` is a playlist (HLS); read it with ffmpeg: `exec:ffmpeg -i ADDRESS -f mjpeg -q:v 5 -`"
        );
        assert!(parse(&SourceUrl::parse("http://cam/x.jpg?of=a.m3u8").unwrap()).is_ok());
    }
}
