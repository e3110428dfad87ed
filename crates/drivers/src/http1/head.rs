//! Parses the head of a response: the status line and headers (RFC 9112 §4 and §5), including what cameras write in
//! violation of the standard.

use super::{Error, printable};

/// The maximum length of a head, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The maximum number of headers.
const MAX_HEADERS: usize = 256;

/// The possible beginnings of a response: that of HTTP, or that of the SHOUTcast protocol, which some cameras imitate.
const HTTP_STARTS: &[&[u8]] = &[b"HTTP/", b"ICY "];

/// The beginning of a response of RTSP, whose heads are written as those of HTTP.
const RTSP_STARTS: &[&[u8]] = &[b"RTSP/"];

/// The maximum number of line-end bytes before the status line. A response with more of them is not HTTP.
const MAX_BLANK_BYTES: usize = 16;

/// The status and the headers of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    status: u16,
    is_http_1_0: bool,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Returns the status code, from 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the status for display, such as `404 Not Found`. The reason phrase is the standard one, because the
    /// server's own phrase may repeat parts of the request.
    pub fn status_line(&self) -> String {
        format!("{} {}", self.status, reason_phrase(self.status)).trim_end().to_owned()
    }

    /// Returns whether the server speaks HTTP/1.0, which closes the connection after each response unless a header says
    /// otherwise.
    pub fn is_http_1_0(&self) -> bool {
        self.is_http_1_0
    }

    /// Returns the value of the first header called `name`, without surrounding blanks; `None` if there is no such
    /// header. The case of `name` does not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let is_called = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_called).map(|(_, value)| value.as_str())
    }

    /// Returns the values of all headers called `name`, in the order in which they arrived. The case of `name` does not
    /// matter.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_called = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_called).map(|(_, value)| value.as_str())
    }

    /// Returns whether `word` is among the comma-separated words of the headers called `name`. The case of `name` and
    /// `word` does not matter.
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        self.get_all(name)
            .flat_map(|value| value.split(','))
            .any(|found| found.trim().eq_ignore_ascii_case(word))
    }
}

/// Finds the end of a head in a growing buffer, examining each byte only once.
#[derive(Debug)]
pub struct HeadReader {
    scanned: usize,
    /// The possible beginnings of a response.
    starts: &'static [&'static [u8]],
}

impl Default for HeadReader {
    fn default() -> Self {
        Self { scanned: 0, starts: HTTP_STARTS }
    }
}

impl HeadReader {
    /// Creates a reader of the responses of an RTSP server (RFC 2326 §7).
    pub fn of_rtsp() -> Self {
        Self { scanned: 0, starts: RTSP_STARTS }
    }

    /// Returns the head at the start of `bytes`, together with the head's length in bytes; `None` while more bytes are
    /// needed. `bytes` must begin with the bytes of the previous call.
    ///
    /// Header lines without a name are left out, and so are the bytes NUL and CR within a line; folded lines are
    /// joined. All other bytes stay unchanged, because a Digest login is computed from them. Bytes that are not UTF-8
    /// are replaced.
    ///
    /// # Errors
    /// [`Error::NotHttp`] as soon as the first bytes are not HTTP; an error for a head longer than [`MAX_HEAD_BYTES`],
    /// with more than 256 headers, or without a status.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Error> {
        let blanks = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        check_start(&bytes[blanks..], blanks, self.starts)?;
        let from = self.scanned.max(blanks);
        let Some(end) = find_end(bytes, from) else {
            if bytes.len() > MAX_HEAD_BYTES {
                return Err(Error::HeadTooLong { limit_bytes: MAX_HEAD_BYTES });
            }
            // The last bytes may be part of the blank line that ends the head.
            self.scanned = bytes.len().saturating_sub(2);
            return Ok(None);
        };
        if end > MAX_HEAD_BYTES {
            return Err(Error::HeadTooLong { limit_bytes: MAX_HEAD_BYTES });
        }
        parse(&bytes[blanks..end]).map(|head| Some((head, end)))
    }
}

/// Returns an error if `bytes` cannot be the beginning of a response, which begins with one of `starts`. `blanks` is the
/// number of line-end bytes before `bytes`.
fn check_start(bytes: &[u8], blanks: usize, starts: &[&[u8]]) -> Result<(), Error> {
    let may_begin = |start: &[u8]| {
        let len = start.len().min(bytes.len());
        bytes[..len].eq_ignore_ascii_case(&start[..len])
    };
    if blanks <= MAX_BLANK_BYTES && starts.iter().any(|start| may_begin(start)) {
        return Ok(());
    }
    Err(Error::NotHttp { start: printable(bytes) })
}

/// Returns the position after the blank line that ends a head; `None` if there is no such line yet. The search begins
/// at `from`.
fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(feed) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        at += feed + 1;
        match bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

fn parse(bytes: &[u8]) -> Result<Head, Error> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut head = parse_status(lines.next().unwrap_or_default())?;
    for line in lines {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            // RFC 9112 §5.2: a folded line belongs to the header before it.
            if let Some((_, value)) = head.headers.last_mut() {
                value.push(' ');
                value.push_str(text(line).trim());
            }
            continue;
        }
        let line = text(line);
        let Some((name, value)) = line.split_once(':') else { continue };
        let name = name.trim();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            continue;
        }
        if head.headers.len() == MAX_HEADERS {
            return Err(Error::TooManyHeaders { limit: MAX_HEADERS });
        }
        head.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(head)
}

/// Parses a status line, such as `HTTP/1.1 200 OK`. The reason phrase may be missing, and there may be extra blanks.
fn parse_status(line: &[u8]) -> Result<Head, Error> {
    let bad = || Error::BadStatus { line: printable(line) };
    let line_text = text(line);
    let (version, rest) = line_text.split_once(' ').ok_or_else(bad)?;
    let rest = rest.trim_start();
    let code = rest.split_whitespace().next().unwrap_or_default();
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let status = code.parse().ok().filter(|status| is_code && *status >= 100).ok_or_else(bad)?;
    Ok(Head {
        status,
        is_http_1_0: version.eq_ignore_ascii_case("ICY") || version.ends_with("/1.0"),
        headers: Vec::new(),
    })
}

/// Returns the standard reason phrase of a status that cameras send (RFC 9110 §15), or an empty text for any other
/// status.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

fn text(line: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    text.retain(|c| !matches!(c, '\0' | '\r'));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Error> {
        HeadReader::default().read(bytes)
    }

    #[test]
    fn a_head_is_the_same_however_it_is_cut() {
        let bytes = b"\r\nHTTP/1.1 401  Who are you?\r\nServer:  cam \nX-Odd : 1\r\n folded\r\n: nameless\r\n\
                      no colon\r\nWWW-Authenticate: Digest opaque=\"\x01\"\r\nwww-authenticate: Basic\r\n\r\nbody";
        let (head, len) = read(bytes).unwrap().unwrap();
        assert_eq!(&bytes[len..], b"body");
        assert_eq!((head.status(), head.status_line().as_str()), (401, "401 Unauthorized"));
        assert_eq!((head.get("SERVER"), head.get("x-odd")), (Some("cam"), Some("1 folded")));
        let challenges: Vec<&str> = head.get_all("WWW-Authenticate").collect();
        assert_eq!(challenges, ["Digest opaque=\"\u{1}\"", "Basic"]);
        assert_eq!(head.headers.len(), 4);
        let mut reader = HeadReader::default();
        for end in 0..len {
            assert_eq!(reader.read(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(reader.read(bytes), Ok(Some((head, len))));
    }

    #[test]
    fn the_version_may_be_old_or_another_protocols() {
        for (bytes, is_http_1_0) in [
            (&b"ICY 200 OK\r\n\r\n"[..], true),
            (b"HTTP/1.0 200 OK\n\n", true),
            (b"http/1.1 200\r\n\r\n", false),
            (b"HTTP/1.1 200 \r\nA: b\n\r\n", false),
        ] {
            let (head, _) = read(bytes).unwrap().unwrap();
            assert_eq!((head.status(), head.is_http_1_0()), (200, is_http_1_0));
        }
    }

    #[test]
    fn what_is_not_http_is_refused_at_its_first_bytes() {
        for bytes in
            [&b"SSH-2.0-dropbear"[..], b"\0", b"HTTQ", b"--frame", b"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nHTTP/"]
        {
            assert!(matches!(read(bytes), Err(Error::NotHttp { .. })), "{bytes:?}");
        }
        for bytes in
            [&b"HTTP/1.1 OK\r\n\r\n"[..], b"HTTP/1.1 999\xFF\r\n\r\n", b"HTTP/1.1 99 x\n\n", b"HTTP/\n\n"]
        {
            assert!(matches!(read(bytes), Err(Error::BadStatus { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused_at_its_bound() {
        let long = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; MAX_HEAD_BYTES]].concat();
        assert_eq!(read(&long), Err(Error::HeadTooLong { limit_bytes: MAX_HEAD_BYTES }));
        let many = ["HTTP/1.1 200 OK\r\n", &"a:b\r\n".repeat(MAX_HEADERS + 1), "\r\n"].concat();
        assert_eq!(read(many.as_bytes()), Err(Error::TooManyHeaders { limit: MAX_HEADERS }));
    }
}
