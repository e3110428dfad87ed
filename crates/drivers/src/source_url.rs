//! The URL of a source, from which a camera's pictures come.

use std::fmt;
use std::time::Duration;

use framecast_media::{FLAG_VALUES, Secret, parse_flag};

use crate::{Error, masking, suggest};

/// The URL of a source, `scheme:rest`. Its `Display` is safe to show to viewers: it consists of the scheme and host of
/// a server, the node of a device, or the name of a program.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    scheme: String,
    rest: Secret,
}

impl SourceUrl {
    /// Parses a source as people type it: `exec:ffmpeg …`, `http://…`, a driver's name alone (`emulated`), or the path
    /// of a folder of pictures or a glob pattern, which begins with `/`, `.` or `~`.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for text that is none of these.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let (scheme, rest) = split_scheme(text).ok_or_else(|| no_source(text))?;
        Ok(Self { scheme, rest: Secret::new(rest) })
    }

    /// Returns the scheme in lower case, without the colon.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns everything after the scheme's colon, without masking secrets. Use this to open the source, never to show
    /// it.
    pub fn rest(&self) -> &str {
        self.rest.expose()
    }

    /// Returns the whole URL without masking secrets. Use this to open the source, never to show it.
    pub fn expose(&self) -> String {
        format!("{}:{}", self.scheme, self.rest())
    }

    /// Returns the URL in the form for the log: the text of `Display`, and the port of a server.
    pub fn for_log(&self) -> String {
        masking::for_log(&self.scheme, self.rest())
    }

    /// Returns the URL in the form for the log at level debug, which also contains paths and the names of parameters.
    /// Each value, and each part of a path that may be a token (such as an access key), appears as `***`.
    pub fn for_debug(&self) -> String {
        masking::for_debug(&self.scheme, self.rest())
    }

    /// Returns the options of a URL that can contain nothing but options, such as `test:?fps=30`. `known` lists the
    /// names of the options that the driver has.
    ///
    /// # Errors
    /// [`Error::BadUrl`] if there is other text before the `?`; otherwise those of
    /// [`path_and_options`](Self::path_and_options).
    pub fn options(&self, known: &[&'static str]) -> Result<Options<'_>, Error> {
        let (path, options) = self.path_and_options(known)?;
        if path.is_empty() {
            return Ok(options);
        }
        let problem = format!("accepts only options, after a `?`, as in `{}:?{}=…`", self.scheme, known[0]);
        Err(Error::BadUrl { url: self.to_string(), problem })
    }

    /// Splits the text after the scheme at its first `?` into a path and options. `known` lists the names of the
    /// options that the driver has.
    ///
    /// # Errors
    /// [`Error::UnknownOption`] for an option that is not in `known`; [`Error::BadOption`] for one that is there twice;
    /// [`Error::BadUrl`] for an option after a `#`.
    pub fn path_and_options(&self, known: &[&'static str]) -> Result<(&str, Options<'_>), Error> {
        let (path, query) = self.rest().split_once('?').unwrap_or((self.rest(), ""));
        // Paths and names may contain a `#`, but hardly ever one with an option after it.
        if let Some((_, fragment)) = path.split_once('#')
            && let Some(name) = fragment.split(['=', '&']).next().filter(|name| known.contains(name))
        {
            let problem = format!("has options after a `#`; write `?{name}` in place of `#{name}`");
            return Err(Error::BadUrl { url: self.to_string(), problem });
        }
        Ok((path, Options::parse(&self.scheme, query, known)?))
    }

    /// Returns the options in the URL's fragment, after the `#`, for schemes whose query belongs to a server. `known`
    /// lists the names of the options that the driver has.
    ///
    /// # Errors
    /// [`Error::UnknownOption`] for an option that is not in `known`; [`Error::BadOption`] for one that is there twice;
    /// [`Error::BadUrl`] if a `#` within a password has cut the password in two.
    pub fn fragment_options(&self, known: &[&'static str]) -> Result<Options<'_>, Error> {
        let fragment = self.rest().split_once('#').map_or("", |(_, fragment)| fragment);
        Options::parse(&self.scheme, fragment, known).map_err(|error| match error {
            // The supposed option is the rest of a password and must not be shown.
            Error::UnknownOption { .. } if fragment.contains('@') => Error::BadUrl {
                url: self.to_string(),
                problem: "has a `#` before the `@`; in a user or password, write `#` as %23".to_owned(),
            },
            error => error,
        })
    }
}

/// The options of a source's URL: the name-value pairs after its `?` or its `#`.
pub struct Options<'a> {
    scheme: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    fn parse(scheme: &'a str, text: &'a str, known: &[&'static str]) -> Result<Self, Error> {
        let mut options = Self { scheme, pairs: Vec::new() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(option) = known.iter().find(|known| **known == name) else {
                // A word without a value that does not resemble an option may be part of a secret.
                let is_name = !value.is_empty() || suggest::resembles(name, known);
                return Err(Error::UnknownOption {
                    scheme: scheme.to_owned(),
                    option: if is_name { masking::option(name) } else { masking::MASK }.to_owned(),
                    known: known.to_vec(),
                });
            };
            if options.get(option).is_some() {
                return Err(options.refuse(option, "is there twice; remove one"));
            }
            options.pairs.push((name, value));
        }
        Ok(options)
    }

    /// Returns the value of the option `name` as written; `None` if the option is missing, empty if it has no `=`.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// Returns whether the option is set: `name`, `name=1`, `name=true`, `name=yes` or `name=on`.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the value is neither one of these nor `0`, `false`, `no` or `off`.
    pub fn is_set(&self, name: &'static str) -> Result<bool, Error> {
        let Some(value) = self.get(name) else { return Ok(false) };
        parse_flag(value).ok_or_else(|| self.refuse(name, FLAG_VALUES))
    }

    /// Returns the interval between frames at the rate in the option `fps`. If the option is missing, the rate is
    /// `default_fps` frames per second.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the rate is not a number from 0.001 to 1000.
    pub fn frame_interval(&self, default_fps: f64) -> Result<Duration, Error> {
        let Some(value) = self.get("fps") else {
            return Ok(Duration::from_secs_f64(1.0 / default_fps));
        };
        match value.parse::<f64>() {
            Ok(fps) if (0.001..=1000.0).contains(&fps) => Ok(Duration::from_secs_f64(1.0 / fps)),
            _ => Err(self.refuse("fps", "must be a number of frames per second from 0.001 to 1000")),
        }
    }

    /// Returns the duration in the option named `option`, as in `timeout=10s`. If the option is missing, returns
    /// `default`.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the value is not a duration from a millisecond to an hour.
    pub fn duration(&self, option: &'static str, default: Duration) -> Result<Duration, Error> {
        let Some(value) = self.get(option) else { return Ok(default) };
        humantime::parse_duration(value)
            .ok()
            .filter(|time| (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(time))
            .ok_or_else(|| self.refuse(option, "must be a time like 10s or 500ms, from 1ms to 1h"))
    }

    /// Returns the width and height, in pixels, in the option `size`, as in `size=1280x720`. If the option is missing,
    /// returns `default`.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the value is malformed or a side is not between `min_px` and `max_px`.
    pub fn size(&self, default: (u32, u32), min_px: u32, max_px: u32) -> Result<(u32, u32), Error> {
        let Some(value) = self.get("size") else { return Ok(default) };
        value
            .split_once('x')
            .and_then(|(w, h)| Some((w.parse::<u32>().ok()?, h.parse::<u32>().ok()?)))
            .filter(|(w, h)| (min_px..=max_px).contains(w) && (min_px..=max_px).contains(h))
            .ok_or_else(|| {
                self.refuse("size", &format!("must be like 1280x720, each side from {min_px} to {max_px}"))
            })
    }

    /// Creates the error for an option with an unusable value.
    pub fn refuse(&self, option: &'static str, problem: &str) -> Error {
        Error::BadOption { scheme: self.scheme.to_owned(), option, problem: problem.to_owned() }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masking::public(&self.scheme, self.rest()))
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// Shows only the names of the options, without their values.
impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

/// Splits `text` into the scheme in lower case and the text after the scheme; `None` if `text` does not have the form
/// of a source.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    if text.starts_with(['/', '.', '~']) {
        let is_device = text.starts_with("/dev/video") || text.starts_with("/dev/v4l/");
        let scheme = if is_device { "v4l2" } else { "images" };
        return Some((scheme.to_owned(), text));
    }
    let end = text.find(':').unwrap_or(text.len());
    let scheme = &text[..end];
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    // A single word with a dot is a file or host name, not a driver's name.
    if !is_scheme || (end == text.len() && scheme.contains('.')) {
        return None;
    }
    Some((scheme.to_ascii_lowercase(), text.get(end + 1..).unwrap_or("")))
}

/// The schemes of the drivers that come with Framecast, in the order of their table. Messages about text that is no
/// source name them.
const BUILTIN_SCHEMES: [&str; 12] = [
    "emulated",
    "test",
    "v4l2",
    "images",
    "exec",
    "pipe",
    "http",
    "https",
    "rtsp",
    "rtsps",
    "libcamera",
    "pi",
];

/// Creates the error, with a suggestion, for `text` that does not have the form of a source.
fn no_source(text: &str) -> Error {
    let bad = |url: String, problem: String| Error::BadUrl { url, problem };
    let is_scheme = |word: &str| BUILTIN_SCHEMES.contains(&word);
    if let Some((scheme, _)) = text.split_once("//").filter(|(scheme, _)| is_scheme(scheme)) {
        let problem = format!("lacks the colon after `{scheme}`; write `{scheme}://ADDRESS`");
        return bad(format!("{scheme}//…"), problem);
    }
    if suggest::looks_like_server(text) {
        let server = masking::for_log("http", &format!("//{text}"));
        let server = server.trim_start_matches("http://").to_owned();
        let problem = "is not a source; did you mean `http://ADDRESS`? A file or folder begins with `./`";
        return bad(server, problem.to_owned());
    }
    if let Some((scheme, _)) = text.split_once('?').filter(|(scheme, _)| is_scheme(scheme)) {
        return bad(format!("{scheme}?…"), format!("is not a source; did you mean `{scheme}:?…`?"));
    }
    if let Some(hint) = suggest::for_device(text) {
        return bad(text.to_owned(), format!("is not a source. {hint}"));
    }
    if suggest::is_video_file(text) && !text.contains(['@', ':']) {
        let problem =
            format!("is not a source; play a video file with ffmpeg: `{}`", suggest::VIDEO_FILE_COMMAND);
        return bad(masking::path(text), problem);
    }
    // In any other text, secrets cannot be distinguished from the rest.
    let is_path = !text.contains(|c: char| c.is_whitespace() || "@:?#=&".contains(c));
    let shown = if is_path { masking::path(text) } else { masking::MASK.to_owned() };
    let drivers = BUILTIN_SCHEMES.join(", ");
    let problem = format!(
        "is not a source. A file or folder: `./PATH`; a camera on the network: `http://ADDRESS`; drivers: {drivers}"
    );
    bad(shown, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Drivers;

    fn parts(text: &str) -> (String, String) {
        let url = SourceUrl::parse(text).unwrap();
        (url.scheme().to_owned(), url.rest().to_owned())
    }

    #[test]
    fn a_scheme_ends_at_the_first_colon() {
        assert_eq!(parts("exec:ffmpeg -i a:b"), ("exec".into(), "ffmpeg -i a:b".into()));
        assert_eq!(parts("HTTP://host/v"), ("http".into(), "//host/v".into()));
    }

    #[test]
    fn a_name_alone_is_a_driver_and_a_path_is_a_device_or_a_folder() {
        assert_eq!(parts("emulated"), ("emulated".into(), String::new()));
        assert_eq!(parts("/dev/video2"), ("v4l2".into(), "/dev/video2".into()));
        assert_eq!(parts("./pictures"), ("images".into(), "./pictures".into()));
    }

    #[test]
    fn the_schemes_named_here_are_those_of_the_table() {
        assert_eq!(Drivers::builtin().schemes(), BUILTIN_SCHEMES);
    }

    #[test]
    fn text_that_is_no_source_is_refused_with_what_to_write() {
        let refusal = |text: &str| SourceUrl::parse(text).unwrap_err().to_string();
        let drivers = Drivers::builtin().schemes().join(", ");
        for (text, shown) in [
            ("", ""),
            ("x.y", "x.y"),
            ("pictures/front", "pictures/front"),
            ("MadeUpToken5/front", "***/front"),
            ("1http://me:s3cret@x", "***"),
            ("a b:c", "***"),
        ] {
            let expected = format!(
                "`{shown}` is not a source. A file or folder: `./PATH`; a camera on the network: `http://ADDRESS`; \
                 drivers: {drivers}"
            );
            assert_eq!(refusal(text), expected);
        }
        let film = refusal("film.mp4");
        assert!(film.contains("`exec:ffmpeg -v error -re -stream_loop -1 -i VIDEO "), "{film}");
        assert_eq!(refusal("pi?camera=1"), "`pi?…` is not a source; did you mean `pi:?…`?");
        assert!(refusal("1").contains("`/dev/video1`"));
        for (text, server) in
            [("192.168.1.20/x?token=abc", "192.168.1.20"), ("me:s3cret@10.0.0.1:81/x", "***")]
        {
            let told = SourceUrl::parse(text).and_then(|url| Drivers::builtin().find(&url).map(drop));
            let told = told.unwrap_err().to_string();
            assert!(told.starts_with(&format!("`{server}")) && told.contains("`http://ADDRESS`"), "{told}");
        }
        for text in ["http//cam/x", "rtsp//me:s3cret@cam:554/x"] {
            let (scheme, _) = text.split_once("//").unwrap();
            let expected =
                format!("`{scheme}//…` lacks the colon after `{scheme}`; write `{scheme}://ADDRESS`");
            assert_eq!(refusal(text), expected);
        }
    }

    #[test]
    fn an_unknown_option_names_the_known_ones() {
        let url = SourceUrl::parse("test:?fsp=3").unwrap();
        let error = url.path_and_options(&["fps", "size"]).unwrap_err().to_string();
        assert_eq!(error, "test: unknown option `fsp`; known options: fps, size. Did you mean `fps`?");
        let url = SourceUrl::parse("test:?s3cret").unwrap();
        let error = url.path_and_options(&["fps", "size"]).unwrap_err().to_string();
        assert_eq!(error, "test: unknown option `***`; known options: fps, size");
    }

    #[test]
    fn options_in_the_fragment_leave_the_query_alone() {
        let url = SourceUrl::parse("http://cam/?action=stream&fps=3#timeout=2s&insecure").unwrap();
        let options = url.fragment_options(&["timeout", "insecure"]).unwrap();
        assert!(options.is_set("insecure").unwrap());
        assert_eq!(options.duration("timeout", Duration::ZERO).unwrap(), Duration::from_secs(2));
        assert_eq!(options.get("fps"), None);
        assert!(url.fragment_options(&["timeout"]).is_err());
    }

    #[test]
    fn a_switch_is_on_or_off_and_nothing_else() {
        for (text, is_on) in [
            ("", false),
            ("hflip", true),
            ("hflip=On", true),
            ("hflip=yes", true),
            ("hflip=0", false),
            ("hflip=false", false),
        ] {
            let url = SourceUrl::parse(&format!("pi:?{text}")).unwrap();
            assert_eq!(url.options(&["hflip"]).unwrap().is_set("hflip").unwrap(), is_on, "{text}");
        }
        let url = SourceUrl::parse("pi:?hflip=1&hflip=off").unwrap();
        let error = url.options(&["hflip"]).err().unwrap().to_string();
        assert_eq!(error, "pi: option `hflip`: is there twice; remove one");
        let url = SourceUrl::parse("pi:?hflip=banana").unwrap();
        let error = url.options(&["hflip"]).unwrap().is_set("hflip").unwrap_err().to_string();
        assert!(error.starts_with("pi: option `hflip`: must have no value, or one of 1, "), "{error}");
    }

    #[test]
    fn options_behind_the_wrong_sign_are_refused() {
        let url = SourceUrl::parse("v4l2:/dev/video0#fps=10").unwrap();
        let error = url.path_and_options(&["size", "fps"]).unwrap_err().to_string();
        assert_eq!(error, "`/dev/video0` has options after a `#`; write `?fps` in place of `#fps`");
        let url = SourceUrl::parse("v4l2:name=Cam #2?fps=10").unwrap();
        assert_eq!(url.path_and_options(&["size", "fps"]).unwrap().0, "name=Cam #2");
    }

    #[test]
    fn times_out_of_range_are_refused() {
        for bad in ["timeout=0s", "timeout=10", "timeout=-1s", "timeout=2h", "timeout="] {
            let url = SourceUrl::parse(&format!("http://cam/#{bad}")).unwrap();
            let options = url.fragment_options(&["timeout"]).unwrap();
            assert!(options.duration("timeout", Duration::ZERO).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_forgotten_question_mark_is_refused() {
        let url = SourceUrl::parse("test:size=640x480").unwrap();
        let error = url.options(&["fps", "size"]).unwrap_err().to_string();
        assert_eq!(error, "`test:` accepts only options, after a `?`, as in `test:?fps=…`");
    }

    #[test]
    fn rates_and_sizes_out_of_range_are_refused() {
        for bad in ["fps=0", "fps=nan", "fps=-1", "fps=1e9", "fps=x"] {
            let url = SourceUrl::parse(&format!("test:?{bad}")).unwrap();
            let (_, options) = url.path_and_options(&["fps"]).unwrap();
            assert!(options.frame_interval(1.0).is_err(), "{bad}");
        }
        for bad in ["size=0x0", "size=640", "size=99999x10", "size=ax b"] {
            let url = SourceUrl::parse(&format!("test:?{bad}")).unwrap();
            let (_, options) = url.path_and_options(&["size"]).unwrap();
            assert!(options.size((640, 480), 16, 4096).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shown_url_has_no_secret() {
        let url = SourceUrl::parse("http://me:s3cret@cam:81/v?p=abc").unwrap();
        assert_eq!(url.to_string(), "http://cam");
        assert_eq!(format!("{url:?}"), "SourceUrl(http://cam)");
        assert_eq!(url.for_log(), "http://cam:81");
        assert_eq!(url.for_debug(), "http://***@cam:81/v?p=***");
        let options = SourceUrl::parse("test:?fps=s3cret").unwrap();
        assert_eq!(format!("{:?}", options.options(&["fps"]).unwrap()), "[\"fps\"]");
    }
}
